"""What every part of the benchmark runs on: a device, a precision, images of noise and a network."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nba_cli import devices
from nba_cli.data import Data
from nba_cli.defenses import DEFENSES
from nba_cli.devices import DTYPES, Precision
from nba_cli.victims import VGG, Network, PreActResNet18, Victim, WideResNet

VICTIMS: dict[str, type[Victim]] = {"wrn_16_1": WideResNet, "preact_resnet18": PreActResNet18, "vgg16_bn": VGG}
CLASSES = 10
BATCH = 128
NBA = [sys.executable, "-c", "import sys; from nba_cli.cli.main import main; sys.exit(main())"]


@dataclass(frozen=True)
class Setting:
    """Fields:
    victim: name of an architecture
    device, precision: as resolved
    rounds, seconds: of a race
    defenses: names of those to measure
    """

    victim: str
    device: torch.device
    precision: Precision
    rounds: int
    seconds: float
    defenses: tuple[str, ...] = tuple(DEFENSES)

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    @property
    def light(self) -> bool:
        """Whether an image takes the network less than a millisecond."""
        return VICTIMS[self.victim] is WideResNet

    @property
    def lap(self) -> int:
        """Steps between two looks at the clock."""
        return 10 if self.light else 2

    def network(self) -> Network:
        return VICTIMS[self.victim]().build(CLASSES, noise(1000)).to(self.device)


def setting(
    victim: str,
    rounds: int,
    seconds: float,
    device: str = "auto",
    precision: str = "auto",
    defenses: tuple[str, ...] = tuple(DEFENSES),
) -> Setting:
    """The machine's own choice of device and precision, unless told otherwise."""
    found = devices.resolve(device)
    devices.prepare(found)
    return Setting(victim, found, devices.resolve_precision(Precision(precision), found), rounds, seconds, defenses)


def noise(count: int, side: int = 32) -> Data:
    """`count` images of noise with labels, the same every time."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=random)
    return Data(images, torch.randint(0, CLASSES, (count,), generator=random))


def noise_file(file: Path, train: int, test: int, side: int = 32) -> Path:
    """Images of noise as `dataset=npz` takes them."""
    arrays = {}
    for part, data in {"train": noise(train, side), "test": noise(test, side)}.items():
        arrays |= {f"x_{part}": data.images.permute(0, 2, 3, 1).numpy(), f"y_{part}": data.labels.numpy()}
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file
