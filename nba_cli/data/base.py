"""Images in memory, the data sets that produce them, and the defender's share."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from nba_cli import seeds
from nba_cli.data.augment import Augment
from nba_cli.errors import Refused


@dataclass
class Data:
    """A labelled image set held as two tensors.

    Fields:
        images: uint8 [N,C,H,W], 0..255.
        labels: int64 [N].
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(f"images must be uint8 [N,C,H,W], not {self.images.dtype} {list(self.images.shape)}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels must be int64 [{len(self.images)}], not {self.labels.dtype} {list(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> Data:
        return Data(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> Data:
        return Data(self.images.to(device), self.labels.to(device))

    def batch(self, index: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images and labels at `index` on `device`; copies from the CPU to a GPU are pinned and asynchronous."""
        index = index.to(self.images.device)
        images, labels = self.images[index], self.labels[index]
        if images.device == device:
            return images, labels
        if device.type == "cuda":
            images, labels = images.pin_memory(), labels.pin_memory()
        return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    def digest(self) -> str:
        """SHA-256 over shape, pixels and labels; equal exactly when the sets are equal."""
        sha = hashlib.sha256(str(tuple(self.images.shape)).encode())
        sha.update(self.images.cpu().contiguous().numpy().data)
        sha.update(self.labels.cpu().numpy().data)
        return sha.hexdigest()


@dataclass
class Splits:
    """A loaded data set: everything that a stage needs to know of it."""

    train: Data
    test: Data
    num_classes: int
    defender: bool = False
    """Clean images are all there is: `train` is the defender's clean set, `test` its hold-out."""


@dataclass(kw_only=True)
class Dataset:
    """Fields:
    root: folder with data files; null means $NBA_DATA, else ~/.cache/nba
    clean_ratio: the defender's share of the training set, in (0,1], stratified by class
    clean_seed: which images the defender has
    held: where clean images are all there is: the share of them, in (0,1), that is held out to measure on
    device: where the images stay: auto (beside the model) or cpu (a set larger than the device)
    crop: zero padding in pixels for the random crop; 0 switches it off
    flip: random horizontal flip
    """

    version: ClassVar[int] = 1
    root: str | None = field(default=None, metadata={"shapes": ()})
    clean_ratio: float = field(default=0.05, metadata={"shapes": ("defend",)})
    clean_seed: int = field(default=0, metadata={"shapes": ("defend",)})
    held: float = field(default=0.3, metadata={"shapes": ("defend",)})
    device: str = field(default="auto", metadata={"shapes": ()})
    crop: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.clean_ratio <= 1:
            raise Refused(f"dataset.clean_ratio={self.clean_ratio}: a share of the training set lies in (0,1].")
        if not 0 < self.held < 1:
            raise Refused(f"dataset.held={self.held}: a share of the clean images lies in (0,1).")
        if self.device not in ("auto", "cpu"):
            raise Refused(f"dataset.device={self.device}: choose auto (beside the model) or cpu.")
        if self.crop < 0:
            raise Refused(f"dataset.crop={self.crop}: a padding in pixels is 0 or more.")

    @property
    def folder(self) -> Path:
        return Path(self.root or os.environ.get("NBA_DATA") or "~/.cache/nba").expanduser()

    def at(self, path: str) -> Path:
        """Where a path given by the user is: as it stands, else under `root`."""
        given = Path(path).expanduser()
        return given if given.is_absolute() or given.exists() else self.folder / given

    def place(self, data: Data, device: torch.device) -> Data:
        """`data` where training and measuring read it: on `device`, or on the CPU, from where batches are copied."""
        return data.to(device) if self.device == "auto" else data

    @property
    def augment(self) -> Augment:
        return Augment(crop=self.crop, flip=self.flip)

    def identity(self) -> str:
        """What names the content: empty where the class fixes it, a digest where a file does."""
        return ""

    def divide(self, clean: Data, num_classes: int) -> Splits:
        """Clean images that are all there is: those to clean with, and by `clean_seed` the hold-out to measure on."""
        kept, held = hold_out(clean, self.held, seeds.generator(self.clean_seed, "held"))
        return Splits(kept, held, num_classes, defender=True)

    def load(self) -> Splits:
        """Training and test set on the CPU.

        Raises:
            Refused: a file is missing, damaged or of the wrong form.
        """
        raise NotImplementedError


def hold_out(clean: Data, ratio: float, generator: torch.Generator) -> tuple[Data, Data]:
    """A set in two: the rest, and a share `ratio` of every class, one image at least, that is held out; a class of one
    keeps it.

    Raises:
        Refused: no class has two.
    """
    order = torch.randperm(len(clean), generator=generator, device=generator.device).to(clean.labels.device)
    labels = clean.labels[order]
    held = torch.zeros(len(clean), dtype=torch.bool, device=labels.device)
    for label in labels.unique():
        members = order[labels == label]
        held[members[: min(max(1, round(ratio * len(members))), len(members) - 1)]] = True
    if not held.any():
        raise Refused(f"{len(clean)} clean images are too few to hold some out: two of a class are needed.")
    return clean[~held], clean[held]


def clean_share(train: Data, ratio: float, seed: int) -> Data:
    """The defender's clean set: `ratio` of every class of `train`, at least one image each, drawn by `seed`."""
    random = seeds.generator(seed, "clean share")
    picked = []
    for label in train.labels.unique():
        members = (train.labels == label).nonzero().flatten()
        count = max(1, round(ratio * len(members)))
        picked.append(members[torch.randperm(len(members), generator=random)[:count]])
    return train[torch.cat(picked).sort().values]
