"""`nba doctor`: what this machine has, where data is looked for, and how fast it trains."""

from __future__ import annotations

import platform
import shutil
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from nba_cli import devices
from nba_cli.console import LOG
from nba_cli.data import DATASETS, Augment, Data, TorchvisionSet
from nba_cli.devices import DTYPES, Precision
from nba_cli.errors import Refused
from nba_cli.runs import provenance
from nba_cli.seeds import generator
from nba_cli.training import Plan, fit
from nba_cli.victims import WideResNet

PACKAGES = ("torch", "torchvision", "hydra-core", "omegaconf", "rich", "numpy", "safetensors", "filelock", "pillow")
SECONDS = 5.0
TF32_SINCE = 8  # compute capability, Ampere


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def processor_features() -> str:
    """What decides whether bf16 pays on the CPU."""
    return ", ".join(f"{name} {'yes' if has else 'no'}" for name, has in devices.vector_extensions().items())


def graphics(device: torch.device) -> str:
    """The CUDA device that runs take, of how many; or what keeps PyTorch from having one."""
    if device.type != "cuda":
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        return f"none that PyTorch can use: no CUDA device, and it is built {built}"
    found = torch.cuda.get_device_properties(device)
    return (
        f"{found.name}, {found.total_memory / 1e9:.0f} GB, compute capability {found.major}.{found.minor}, "
        f"CUDA {torch.version.cuda}; 1 of {torch.cuda.device_count()}"
    )


def arithmetic(device: torch.device, precision: Precision) -> str:
    """What numbers a prepared device computes in."""
    said = f"forward passes in {precision.value}, weights and losses in fp32"
    if device.type != "cuda":
        return said
    asked = torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32
    has = torch.cuda.get_device_properties(device).major >= TF32_SINCE
    return f"{said}; fp32 products and convolutions in {'TF32' if asked and has else 'full precision'}"


def data_found(root: Path) -> str:
    """Which of the public data sets lie in `root`, as an .npz or as torchvision keeps them."""
    kept = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python", "fashion_mnist": "FashionMNIST",
            "gtsrb": "gtsrb", "svhn": "train_32x32.mat"}  # fmt: skip
    names = [cls.name for cls in DATASETS.values() if issubclass(cls, TorchvisionSet)]
    there = [name for name in names if (root / f"{name}.npz").is_file() or (root / kept[name]).exists()]
    return ", ".join(["fashion_mini (bundled)", *there])


def images_per_second(device: torch.device, precision: Precision) -> float:
    """Training speed of WRN-16-1 on 32x32 noise, batch 128, over about five seconds."""
    noise = torch.randint(0, 256, (1280, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = Data(noise, torch.arange(1280) % 10)
    network = WideResNet().build(10, data).to(device)
    data, random = data.to(device), generator(0, "doctor", device)
    run = lambda steps: fit(  # noqa: E731
        network, data, Plan(steps=steps, lr=0.01), augment=Augment(), generator=random, dtype=DTYPES[precision]
    )
    run(5)  # the first steps compile kernels
    steps, began = 0, time.monotonic()
    while time.monotonic() - began < SECONDS:
        run(10)
        steps += 10
    return steps * 128 / (time.monotonic() - began)


def main(arguments: list[str]) -> int:
    """Print the findings, one a line.

    Raises:
        Refused: it takes no options.
    """
    if arguments:
        raise Refused(f"nba doctor {' '.join(arguments)}: it takes no options.")
    device = devices.resolve("auto")
    precision = devices.resolve_precision(Precision.auto, device)
    devices.prepare(device)
    root = next(iter(DATASETS.values()))().folder
    there = next(place for place in (root, *root.absolute().parents) if place.exists())
    free, here = (shutil.disk_usage(place).free / 1e9 for place in (there, "."))
    rows = {
        "nba": f"{installed('nba-cli')} ({provenance.commit()})",
        "python": f"{platform.python_version()} on {platform.platform()}",
        "packages": ", ".join(f"{package} {installed(package)}" for package in PACKAGES),
        "processor": devices.processor(torch.device("cpu")),
        "features": processor_features(),
        "device": devices.describe(device, precision),
        "gpu": graphics(device),
        "arithmetic": arithmetic(device, precision),
        "data root": f"{root} (dataset.root, else $NBA_DATA, else ~/.cache/nba)",
        "data sets": data_found(root),
        "disk": f"{free:.0f} GB free there, {here:.0f} GB here",
    }
    for key, value in rows.items():
        LOG.info(f"{key:<11}{value}")
    speed = images_per_second(device, precision)
    LOG.info(f"{'speed':<11}{speed:,.0f} images/s training wrn_16_1, {precision.value}")
    return 0
