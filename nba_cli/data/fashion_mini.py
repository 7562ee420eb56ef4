"""The bundled data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources

from nba_cli.data.base import Dataset
from nba_cli.data.images import Splits
from nba_cli.data.npz import read_npz
from nba_cli.data.torchvision import to_32


@dataclass(kw_only=True)
class FashionMini(Dataset):
    """The bundled set: 10,000 training and 2,000 test images of Fashion-MNIST (Xiao et al. 2017, MIT licence).

    10 classes, drawn stratified by scripts/make_fashion_mini.py; grey 28x28 becomes 3x32x32 by a black border.
    """

    size: int | None = 32

    def read(self) -> Splits:
        with resources.as_file(resources.files("nba_cli.data") / "fashion_mini.npz") as path:
            splits = read_npz(path)
        return replace(splits, train=to_32(splits.train), test=to_32(splits.test))
