"""Image sets that lie in files and are read from there as they are needed: they may be larger than memory."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nba_cli.data.images import Data

# Python names it from 3.13 on; without it Linux refuses a mapping that could be written to and is larger than memory
NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)


def mapped(file: Path, shape: Sequence[int]) -> Tensor:
    """The uint8 tensor of `shape` that fills `file`, as a private mapping.

    Pixels are read when they are asked for, and what was read the system may forget. A page that is written to becomes
    this mapping's own and stays in memory: neither the file nor another mapping sees it. torch.from_file maps the same
    but reserves memory for all of it, which is refused where there is not as much.
    """
    with file.open("rb") as opened:
        pages = mmap.mmap(
            opened.fileno(), 0, flags=mmap.MAP_PRIVATE | NO_RESERVE, prot=mmap.PROT_READ | mmap.PROT_WRITE
        )
    return torch.frombuffer(pages, dtype=torch.uint8).view(*shape)


@dataclass
class Mapped(Data):
    """A set whose images are a mapping of a file. Nobody writes to them: `copy` gives images to write to.

    Fields:
        file: uint8 [N,C,H,W] and nothing else; its content never changes
    """

    file: Path

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the file for itself."""
        return remapped, (self.file, tuple(self.images.shape), self.labels)

    def copy(self) -> Data:
        """A mapping of its own: it takes memory for what is written and no more."""
        return Data(mapped(self.file, self.images.shape), self.labels.clone())


def remapped(file: Path, shape: tuple[int, ...], labels: Tensor) -> Mapped:
    return Mapped(mapped(file, shape), labels, file)
