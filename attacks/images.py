"""Images: triggered test images that another tool has stamped, read as they are."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from attacks.base import Attack
from nba_cli import options
from nba_cli.data import SUFFIXES, read_picture
from nba_cli.errors import Refused, given_as
from nba_cli.files import given


@dataclass(kw_only=True)
class Images(Attack):
    """x' = what path/<class>/<n>.png or path/<n>.png shows, for image n of the test set, from 0; it poisons nothing.

    For a model from elsewhere: its trigger need not be known. BackdoorBench leaves such a folder, bd_test_dataset,
    beside its attack_result.pt. Images without a file are not triggered. A folder whose name is a number has to be
    the class of its images, so that the files of another test set, or of another order, are noticed.

    Fields:
        path: the folder; null: the one beside weights=attack_result.pt
        rate: always 0
    """

    rate: float = 0.0
    path: str | None = options.folder(options.unnamed(None))  # the content names the run, not its place

    def check_rate(self) -> None:
        if self.rate != 0:
            raise Refused(f"attack.rate={self.rate}: attack=images poisons nothing; leave it out.")

    @property
    def folder(self) -> Path:
        """Where the files are.

        Raises:
            Refused: nobody has said it.
        """
        if self.path is None:
            raise Refused(
                "attack=images: triggered test images, <number of the image>.png, are read from attack.path=FOLDER. "
                "Add it; beside an attack_result.pt of BackdoorBench bd_test_dataset is found without."
            )
        return given(self.path)

    def refused(self, what: str) -> Refused:
        return Refused(f"attack.path={self.path}: {what}")

    @cached_property
    def files(self) -> dict[int, Path]:
        """Number of a test image -> the file that shows it triggered.

        Raises:
            Refused: there is no such folder, no such file in it, or two of one number.
        """
        if not os.path.isdir(self.folder):  # Path.is_dir lets some errors through
            raise self.refused("no such folder.")
        found: dict[int, Path] = {}
        for file in sorted(self.folder.rglob("*")):
            if file.suffix.lower() in SUFFIXES and file.stem.isdecimal() and file.is_file():
                if (number := int(file.stem)) in found:
                    raise self.refused(f"{found[number]} and {file} have the same number.")
                found[number] = file
        if not found:
            raise self.refused("there is no image in it that is named by a number, as in 17.png.")
        return found

    def identity(self) -> str:
        if self.path is None:
            return ""
        about = ((number, file, file.stat()) for number, file in self.files.items())
        return content_of(tuple((number, str(file), stat.st_size, stat.st_mtime_ns) for number, file, stat in about))

    def check(self, num_classes: int, shape: tuple[int, int, int] | None = None) -> None:
        super().check(num_classes, shape)
        _ = self.files

    def choose(self, labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
        raise Refused("attack=images poisons nothing: it is for nba evaluate and for nba defend weights=FILE.")

    def meant_for(self, labels: Tensor, num_classes: int) -> Tensor:
        """Those of the base class that have a file.

        Raises:
            Refused: there are none, or the files are of another test set.
        """
        true = labels.tolist()
        for number, file in self.files.items():
            if number >= len(true):
                last = len(true) - 1
                raise self.refused(f"{file}: there is no test image {number}; this data set has 0 to {last}.")
            claimed = file.parent.name if file.parent != self.folder else ""
            if claimed.isdecimal() and int(claimed) != true[number]:
                raise self.refused(
                    f"{file}: test image {number} of this data set is of class {true[number]}. These are the triggered "
                    "images of another one, or in another order."
                )
        numbers = [number for number in super().meant_for(labels, num_classes).tolist() if number in self.files]
        if not numbers:
            raise self.refused(f"it shows no image of a class other than target={self.target}.")
        return torch.tensor(numbers, device=labels.device)

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        shown = [self.shown(number, tuple(images.shape[2:])) for number in index.tolist()]
        return torch.stack(shown).to(images.device, images.dtype) / 255

    def shown(self, number: int, size: tuple[int, ...]) -> Tensor:
        """Test image `number`, triggered: uint8 [3,H,W].

        Raises:
            Refused: there is no such file, it cannot be read, or shows an image of another size.
        """
        if number not in self.files:
            raise self.refused(f"it does not show test image {number}.")
        with given_as(f"attack.path={self.path}", self.folder):
            pixels = torch.from_numpy(read_picture(self.files[number]).copy())
        if tuple(pixels.shape[1:]) != size:
            height, width = pixels.shape[1:]
            raise self.refused(
                f"{self.files[number]}: {height}x{width} pixels, and the data set's images have {size[0]}x{size[1]}. "
                "They are read as they are."
            )
        return pixels


@lru_cache(maxsize=8)
def content_of(files: tuple[tuple[int, str, int, int], ...]) -> str:
    """SHA-256 over the numbers and bytes of image files, each given with its size and time: once while they stay."""
    sha = hashlib.sha256()
    for number, file, size, _ in files:
        sha.update(f"{number} {size} ".encode())
        sha.update(Path(file).read_bytes())
    return sha.hexdigest()
