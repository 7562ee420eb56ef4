"""Data sets that are a file: the bundled one, and any .npz in the Keras convention."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources

import torch.nn.functional as F
from omegaconf import MISSING

from nba_cli.data.arrays import CLEAN_KEYS, arrays, classes, file_digest, read_npz, splits, to_data
from nba_cli.data.base import Dataset, Splits


@dataclass(kw_only=True)
class FashionMini(Dataset):
    """The bundled set: 10,000 training and 2,000 test images of Fashion-MNIST (Xiao et al. 2017, MIT licence).

    10 classes, drawn stratified by scripts/make_fashion_mini.py; grey 28x28 becomes 3x32x32 by a black border.
    """

    def load(self) -> Splits:
        with resources.as_file(resources.files("nba_cli.data") / "fashion_mini.npz") as path:
            splits = read_npz(path)
        for data in (splits.train, splits.test):
            data.images = F.pad(data.images, (2, 2, 2, 2))
        return splits


@dataclass(kw_only=True)
class Npz(Dataset):
    """Any image set in the Keras convention: x_train, y_train, x_test, y_test (uint8 [N,H,W] or [N,H,W,C]).

    For cleaning a model from elsewhere, x_clean and y_clean alone are enough: the defender's images.

    Fields:
        path: the .npz file; a relative path is looked for here, then under `root`
    """

    path: str = field(default=MISSING, metadata={"shapes": ()})  # the content names the run, not its place
    flip: bool = False

    def identity(self) -> str:
        return file_digest(self.at(self.path))

    def load(self) -> Splits:
        path = self.at(self.path)
        found = arrays(path)
        if CLEAN_KEYS[0] not in found:
            return splits(found, path)
        clean = to_data(found["x_clean"], found["y_clean"], str(path))
        return self.divide(clean, classes(clean, str(path)))
