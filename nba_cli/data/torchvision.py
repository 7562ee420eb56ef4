"""The public data sets that torchvision fetches.

Each reads <root>/<name>.npz (Keras convention) if it is there, else torchvision's copy in <root>, downloaded on
first use with a progress bar. torchvision is imported for that alone: it takes nearly as long to import as PyTorch.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from PIL import Image

from nba_cli import files
from nba_cli.console import LOG
from nba_cli.data.arrays import to_data
from nba_cli.data.base import Dataset
from nba_cli.data.images import Data, Splits
from nba_cli.data.npz import read_npz
from nba_cli.errors import Refused, given_as


@dataclass(kw_only=True)
class TorchvisionSet(Dataset):
    """A data set of torchvision as 3x32x32, resized from there. Subclasses say how to fetch its arrays."""

    name: ClassVar[str]
    sizes: ClassVar[tuple[int, int]]
    num_classes: ClassVar[int] = 10
    keep: ClassVar[bool] = False  # as an .npz, because the images are slow to decode

    size: int | None = 32

    def archive(self, splits: Splits, path: Path) -> None:
        buffer = io.BytesIO()
        arrays = {}
        for part, data in (("train", splits.train), ("test", splits.test)):
            arrays |= {f"x_{part}": data.images.permute(0, 2, 3, 1).numpy(), f"y_{part}": data.labels.numpy()}
        np.savez(buffer, **arrays)
        files.write(path, buffer.getvalue())

    def fetch(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 [N,H,W] or [N,H,W,C] and integer labels [N] of a split, downloaded when missing."""
        raise NotImplementedError

    def read(self) -> Splits:
        archive = self.folder / f"{self.name}.npz"
        if archive.is_file():
            splits = self.kept(archive)
            found = (len(splits.train), len(splits.test), splits.num_classes, splits.train.images.shape[3])
            if found not in ((*self.sizes, self.num_classes, side) for side in (28, 32)):
                raise Refused(
                    f"dataset={self.name}: {archive}: not it: {found[0]:,} + {found[1]:,} images of {found[3]} pixels, "
                    f"{found[2]} classes instead of {self.sizes[0]:,} + {self.sizes[1]:,} of 32, {self.num_classes}. "
                    "For a set of your own: dataset=npz dataset.path=…"
                )
        else:
            splits = self.fetched(archive)
        return Splits(to_32(splits.train), to_32(splits.test), self.num_classes)

    def fetched(self, archive: Path) -> Splits:
        """Both splits by torchvision; kept as `archive` if they are to be. One job of a sweep does it, others wait."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            waiting = partial(LOG.info, f"waiting: another process fetches {self.name}")
            held = files.acquired(self.folder / f".{self.name}.lock", waiting)
        except OSError as error:
            raise self.missing(error) from error
        with held:
            if archive.is_file():
                return self.kept(archive)
            try:
                train, test = (to_data(*self.fetch(train), str(self.folder)) for train in (True, False))
            except ImportError as error:
                raise Refused(
                    f"dataset={self.name}: torchvision needs {error.name} to read it: pip install {error.name}"
                ) from error
            except (OSError, RuntimeError) as error:
                raise self.missing(error) from error
            splits = Splits(train, test, self.num_classes)
            if self.keep:
                self.archive(splits, archive)
            return splits

    def kept(self, archive: Path) -> Splits:
        with given_as(f"dataset={self.name}", archive):
            return read_npz(archive)

    def missing(self, error: Exception) -> Refused:
        return Refused(
            f"dataset={self.name}: not found in {self.folder}, and cannot be downloaded ({error}). "
            "Set dataset.root or $NBA_DATA to where it is."
        )


def to_32(data: Data) -> Data:
    """28x28 gets a black border of two pixels: nothing is interpolated. 32x32 stays."""
    border = (32 - data.images.shape[3]) // 2
    return Data(F.pad(data.images, (border,) * 4), data.labels) if border else data


@dataclass(kw_only=True)
class Cifar10(TorchvisionSet):
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images, 10 classes."""

    name: ClassVar[str] = "cifar10"
    source: ClassVar[str] = "CIFAR10"
    sizes: ClassVar[tuple[int, int]] = (50000, 10000)

    def fetch(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        from torchvision import datasets

        part = getattr(datasets, self.source)(str(self.folder), train=train, download=True)
        return part.data, np.array(part.targets)


@dataclass(kw_only=True)
class Cifar100(Cifar10):
    """CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour images, 100 classes."""

    name: ClassVar[str] = "cifar100"
    source: ClassVar[str] = "CIFAR100"
    num_classes: ClassVar[int] = 100


@dataclass(kw_only=True)
class FashionMnist(TorchvisionSet):
    """Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey images, 10 classes."""

    name: ClassVar[str] = "fashion_mnist"
    sizes: ClassVar[tuple[int, int]] = (60000, 10000)

    def fetch(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        from torchvision import datasets

        part = datasets.FashionMNIST(str(self.folder), train=train, download=True)
        return part.data.numpy(), part.targets.numpy()


@dataclass(kw_only=True)
class Svhn(TorchvisionSet):
    """SVHN (Netzer et al. 2011): 73,257 + 26,032 house-number digits, 10 classes. No flip: it changes digits."""

    name: ClassVar[str] = "svhn"
    sizes: ClassVar[tuple[int, int]] = (73257, 26032)
    flip: bool = False

    def fetch(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        from torchvision import datasets

        part = datasets.SVHN(str(self.folder), split="train" if train else "test", download=True)
        return part.data.transpose(0, 2, 3, 1), part.labels


@dataclass(kw_only=True)
class Gtsrb(TorchvisionSet):
    """GTSRB (Stallkamp et al. 2012): 26,640 + 12,630 traffic signs, 43 classes, resized to 32x32 (bilinear).

    Another `size` is made of these. No flip: it turns one sign into another.
    """

    name: ClassVar[str] = "gtsrb"
    sizes: ClassVar[tuple[int, int]] = (26640, 12630)
    num_classes: ClassVar[int] = 43
    keep: ClassVar[bool] = True
    flip: bool = False

    def fetch(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        from torchvision import datasets

        part = datasets.GTSRB(str(self.folder), split="train" if train else "test", download=True)
        pairs = [(np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)), label) for image, label in part]
        return np.stack([pixels for pixels, _ in pairs]), np.array([label for _, label in pairs])
