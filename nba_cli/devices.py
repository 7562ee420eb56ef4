"""Where and how precisely to compute: the run's `device` and `precision`, resolved and applied."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import torch

from nba_cli import ranks
from nba_cli.errors import Refused


class Precision(Enum):
    """Arithmetic of the forward pass. Weights, losses and statistics stay fp32."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


NAMES = ("auto", "cpu", "cuda", "mps")  # and cuda:N
DTYPES = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}


def resolve(name: str) -> torch.device:
    """The device that `name` (auto, cpu, cuda, cuda:N, mps) stands for; under torchrun, that of this process.

    Raises:
        Refused: the name is unknown, or this machine has no such device, or not one for each process.
    """
    local, processes = ranks.here()
    if name == "auto":
        if torch.cuda.is_available():
            return resolve("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() and ranks.launched() == 1 else "cpu")
    kind, colon, number = name.partition(":")
    if kind not in NAMES or (colon and not (kind == "cuda" and number.isdecimal())):
        raise Refused(f"device={name}: not a device. Choose auto, cpu, cuda, cuda:N or mps.")
    if ranks.launched() > 1 and (colon or kind == "mps"):
        raise Refused(f"device={name}: each process of torchrun has a device of its own. Choose auto, cpu or cuda.")
    if kind == "cuda":
        count = torch.cuda.device_count()
        if processes > count > 0:
            raise Refused(f"device={name}: {processes} processes, but this machine has {count} CUDA devices.")
        if int(number or 0) >= count:
            raise Refused(f"device={name}: this machine has {count} CUDA devices. Try device=auto.")
        return torch.device("cuda", int(number or local))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise Refused("device=mps: this machine has no Apple GPU. Try device=auto.")
    return torch.device(kind)


def of_this_rank(device: torch.device) -> torch.device:
    """What `device` of rank 0 is on this rank, prepared."""
    own = torch.device("cuda", ranks.here()[0]) if device.type == "cuda" and ranks.launched() > 1 else device
    prepare(own)
    return own


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """`auto` is bf16 if the processor multiplies it in hardware, else fp32.

    Measured on a Xeon with AMX: bf16 + channels_last trains WRN-16-1 2.1 times as fast as fp32.
    """
    if precision is not Precision.auto:
        return precision
    if device.type == "cuda":
        return Precision.bf16 if torch.cuda.is_bf16_supported(including_emulation=False) else Precision.fp32
    native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return Precision.bf16 if native else Precision.fp32


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager:
    """Forward passes run in `dtype`; a no-op for fp32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """torch.no_grad for passes of a network that is trained in the same autocast region.

    Autocast keeps the weights that it has cast. Older releases (2.9, not 2.14) hand those that were cast here, without
    gradient, on to the passes that train, and the weights never learn (PyTorch issues 105211, 112583).
    """
    with torch.no_grad():
        yield
    torch.clear_autocast_cache()


def exact(device: torch.device) -> contextlib.AbstractContextManager:
    """fp32 inside an autocast region, matrix products included (`.float()` alone does not reach those)."""
    if device.type == "meta":  # has no autocast; tests run steps on it
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def prepare(device: torch.device) -> None:
    """Process-wide switches, set anew for every job because a sweep shares one process."""
    torch.use_deterministic_algorithms(False)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        torch.cuda.set_device(device)  # what pins memory and sums over ranks would otherwise use the first one


def memory(device: torch.device) -> int:
    """Bytes of the machine's memory, or of the GPU's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def spread(number: int) -> str:
    """Device for the job of this number among parallel jobs: the GPUs in turn, where there are several."""
    count = torch.cuda.device_count()
    return f"cuda:{number % count}" if count > 1 else "auto"


def processor(device: torch.device) -> str:
    """The model name of the processor that computes."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def vector_extensions() -> dict[str, bool]:
    """Vector instructions -> whether this CPU has them, from the oldest on. They decide whether bf16 pays."""
    return {
        "AVX2": torch.cpu._is_avx2_supported(),
        "AVX512": torch.cpu._is_avx512_supported(),
        "AVX512-BF16": torch.cpu._is_avx512_bf16_supported(),
        "AMX": torch.cpu._is_amx_tile_supported(),
    }


def instructions() -> str:
    """The newest vector instructions that PyTorch finds on this CPU; "none" of those above."""
    return next((name for name, has in reversed(vector_extensions().items()) if has), "none")


def describe(device: torch.device, precision: Precision) -> str:
    """What the header shows, such as "cpu (2 threads), bf16"."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)}), {precision.value}"
    threads = f" ({torch.get_num_threads()} threads)" if device.type == "cpu" else ""
    return f"{device}{threads}, {precision.value}"
