"""What every data set shares: its options, and how it is divided."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import torch

from nba_cli import devices, files, options, seeds
from nba_cli.console import LOG
from nba_cli.data.augment import Augment
from nba_cli.data.clean_set import hold_out
from nba_cli.data.images import Data, Splits
from nba_cli.errors import Refused, given_as

SMALLEST, LARGEST = 8, 4096  # pixels a side


@cache
def say_resized(given: str, size: int) -> None:
    """Say, once a process, that the images `given`, in words, become `size` x `size`."""
    LOG.info(f"{given} become {size}x{size} (dataset.size)")


@dataclass(kw_only=True)
class Dataset:
    """Fields:
    root: folder with data files, downloaded and decoded ones too; null means $NBA_DATA, else ~/.cache/nba
    clean_ratio: the defender's share of the training set, in (0,1], stratified by class; an image of each at least
    clean_seed: which images the defender has
    clean_disjoint: draw only images that the attacker did not change
    held: if there are clean images only: the share of them, in (0,1), that is held out to measure on
    reserved: to choose settings: about so many training images, set aside to measure on in place of the test set
    size: images become size x size pixels; null: as many as the files hold
    device: where the images stay: auto (beside the model) or cpu (a set larger than the device)
    crop: zero padding in pixels for the random crop; 0 switches it off
    flip: random horizontal flip
    """

    version: ClassVar[int] = 1
    root: str | None = options.folder(options.idle(None))
    clean_ratio: float = options.only(0.05, "defend")
    clean_seed: int = options.seed("defend")
    clean_disjoint: bool = options.only(False, "defend")
    held: float = options.only(0.3, "defend")
    reserved: int = 0
    size: int | None = None
    device: str = options.among(options.idle("auto"), "auto", "cpu")
    crop: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.clean_ratio <= 1:
            raise Refused(f"dataset.clean_ratio={self.clean_ratio}: a share of the training set lies in (0,1].")
        if not 0 < self.held < 1:
            raise Refused(f"dataset.held={self.held}: a share of the clean images lies in (0,1).")
        if self.reserved < 0:
            raise Refused(f"dataset.reserved={self.reserved}: a number of images is 0 or more.")
        if self.size is not None and not SMALLEST <= self.size <= LARGEST:
            raise Refused(f"dataset.size={self.size}: images have {SMALLEST} to {LARGEST} pixels a side.")
        if self.device not in ("auto", "cpu"):
            raise Refused(f"dataset.device={self.device}: choose auto (beside the model) or cpu.")
        if self.crop < 0:
            raise Refused(f"dataset.crop={self.crop}: a padding in pixels is 0 or more.")

    @property
    def folder(self) -> Path:
        return Path(self.root or os.environ.get("NBA_DATA") or "~/.cache/nba").expanduser()

    @contextmanager
    def at(self, path: str) -> Iterator[Path]:
        """Where dataset.path=`path` is, as it stands or else under `root`; what is refused of it names that option.

        Raises:
            Refused: in neither place.
        """
        given = files.given(path)
        found = given if given.is_absolute() or os.path.exists(given) else self.folder / given
        if not os.path.exists(found):  # Path.exists raises where one may not look
            raise Refused(f"dataset.path={path}: no such file or folder, here or in {self.folder}.")
        with given_as(f"dataset.path={path}", found):
            yield found

    def place(self, data: Data, device: torch.device) -> Data:
        """`data` where training and measuring read it: on `device`, or on the CPU, from where batches are copied."""
        return data.to(device) if self.device == "auto" else data

    @property
    def augment(self) -> Augment:
        return Augment(crop=self.crop, flip=self.flip)

    def identity(self) -> str:
        """What names the content: empty if the class fixes it, a digest if a file does."""
        return ""

    def divide(self, clean: Data, num_classes: int, path: str) -> Splits:
        """Clean images that are all there is: those to clean with, and by `clean_seed` the hold-out to measure on.

        `path` is what dataset.path says.

        Raises:
            Refused: no class has two.
        """
        try:
            kept, held = hold_out(clean, self.held, seeds.generator(self.clean_seed, "held"))
        except Refused as error:
            raise Refused(f"dataset.path={path}: {error}") from error
        return Splits(kept, held, num_classes, defender=True)

    def load(self) -> Splits:
        """Training and test set on the CPU, in `size`; with `reserved`, the training set in two.

        The same images are reserved for every seed, the same share of each class.

        Raises:
            Refused: a file is missing, damaged or of the wrong form; or there are fewer images than are reserved, or
                they are smaller than the padding that they are to get, or memory does not hold them in that size.
        """
        splits = self.sized(self.read())
        height, width = splits.test.images.shape[2:]
        if self.crop >= min(height, width):
            raise Refused(
                f"dataset.crop={self.crop}: images have {height}x{width} pixels; a padding must be smaller than that."
            )
        if not self.reserved:
            return splits
        if splits.defender or self.reserved >= len(splits.train):
            has = "there are clean images only" if splits.defender else f"there are {len(splits.train):,} of them"
            raise Refused(f"dataset.reserved={self.reserved}: it takes training images of a victim, and {has}.")
        ratio = self.reserved / len(splits.train)
        rest, reserved = hold_out(splits.train, ratio, seeds.generator(0, "reserved"))
        return replace(splits, train=rest, test=reserved)

    def sized(self, splits: Splits) -> Splits:
        """The same sets with images of `size` x `size` pixels.

        Raises:
            Refused: memory does not hold them.
        """
        shape = splits.test.images.shape
        if self.size is None or shape[2:] == (self.size, self.size):
            return splits
        parts = [splits.train, splits.test]
        count = sum(map(len, parts))
        need, have = count * shape[1] * self.size**2, devices.memory(torch.device("cpu"))
        if need > have:
            raise Refused(
                f"dataset.size={self.size}: {count:,} images of that size take {need / 1e9:,.0f} GB; there are "
                f"{have / 1e9:,.0f}. dataset=folder reads images from the disk as they are needed."
            )
        say_resized(f"{shape[2]}x{shape[3]} images", self.size)
        train, test = (data.resized(self.size) for data in parts)
        return replace(splits, train=train, test=test)

    def read(self) -> Splits:
        """Training and test set on the CPU, as the files hold them.

        Raises:
            Refused: a file is missing, damaged or of the wrong form.
        """
        raise NotImplementedError
