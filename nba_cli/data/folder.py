"""Images in folders: train/<class>/* and test/<class>/*, or clean/<class>/* alone."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import MISSING
from PIL import Image, UnidentifiedImageError

from nba_cli import options
from nba_cli.data.arrays import to_data
from nba_cli.data.base import Dataset
from nba_cli.data.images import Data, Splits
from nba_cli.errors import Refused

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp"}


def image_files(folder: Path) -> list[Path]:
    """The images directly in `folder`, by name; hidden files and other kinds are passed over."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")


def classes_of(folder: Path) -> list[str]:
    """The class folders of a split, by name.

    Raises:
        Refused: there is no such folder, or it holds no class folders.
    """
    if not folder.is_dir():
        raise Refused(f"{folder}: no such folder. It must hold a folder of images per class.")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if not names:
        raise Refused(f"{folder}: there are no class folders in it.")
    return names


def read_split(folder: Path, classes: list[str], size: int) -> Data:
    """All images of a split, resized to `size` x `size`, labelled by the place of their folder in `classes`.

    Raises:
        Refused: an unknown or empty class folder, or an image that cannot be read; names it.
    """
    pixels, labels = [], []
    for name in classes_of(folder):
        if name not in classes:
            raise Refused(f"{folder / name}: there is no such class in train/, which has {', '.join(classes[:5])} …")
        files = image_files(folder / name)
        if not files:
            raise Refused(f"{folder / name}: no image in it ({' '.join(sorted(SUFFIXES))}).")
        for file in files:
            pixels.append(read_image(file, size))
            labels.append(classes.index(name))
    return to_data(np.stack(pixels), np.array(labels), str(folder))


def read_image(file: Path, size: int) -> np.ndarray:
    """uint8 [size,size,3]; bilinear if the image has another size."""
    try:
        with Image.open(file) as image:
            colour = image.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise Refused(f"{file}: not a readable image ({error}).") from error
    if colour.size != (size, size):
        colour = colour.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(colour)


def splits_of(folder: Path) -> tuple[str, ...]:
    """train and test; clean alone if that is all there is."""
    return ("clean",) if (folder / "clean").is_dir() and not (folder / "train").exists() else ("train", "test")


@functools.lru_cache(maxsize=8)
def tree_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of all images of all splits; read once per process."""
    sha = hashlib.sha256()
    for split in splits_of(folder):
        for name in classes_of(folder / split):
            for file in image_files(folder / split / name):
                content = file.read_bytes()
                sha.update(f"{file.relative_to(folder).as_posix()} {len(content)} ".encode())
                sha.update(content)
    return sha.hexdigest()


@dataclass(kw_only=True)
class Folder(Dataset):
    """A set of your own as image files: path/train/<class>/*.png and path/test/<class>/*.png (jpg, bmp, ppm, webp).

    For cleaning a model from elsewhere, path/clean/<class>/*.png alone is enough: the defender's images.

    Fields:
        path: the folder; a relative path is looked for here, then under `root`
        size: images are resized to size x size pixels
    """

    path: str = options.unnamed(MISSING)  # the content names the run, not its place
    size: int = 32
    flip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 8:
            raise Refused(f"dataset.size={self.size}: images need 8 pixels a side or more.")

    def identity(self) -> str:
        return tree_digest(self.at(self.path))

    def load(self) -> Splits:
        path = self.at(self.path)
        splits = splits_of(path)
        classes = classes_of(path / splits[0])
        if len(classes) < 2:
            raise Refused(f"{path / splits[0]}: one class only; a classifier needs two or more.")
        first, *rest = (read_split(path / split, classes, self.size) for split in splits)
        return Splits(first, rest[0], len(classes)) if rest else self.divide(first, len(classes))
