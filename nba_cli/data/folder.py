"""Images in folders: train/<class>/* and test/<class>/*, or clean/<class>/* alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from omegaconf import MISSING

from nba_cli import console, options
from nba_cli.console import LOG
from nba_cli.data import pixel_cache, tree
from nba_cli.data.base import Dataset
from nba_cli.data.images import Splits
from nba_cli.data.picture import decoded
from nba_cli.data.pixel_cache import About
from nba_cli.errors import Refused

LARGEST = 4096  # pixels a side
AHEAD = 256  # files that are decoded at a time, by several threads


def read_image(file: Path, size: int) -> tuple[bytes, np.ndarray]:
    """The bytes of an image file, and its pixels uint8 [3,size,size]; bilinear if the image has another size."""
    content = tree.read(file)
    return content, decoded(content, file, (size, size))


def read_images(found: list[Path], size: int) -> Iterator[tuple[Path, bytes, np.ndarray]]:
    """Files with what `read_image` makes of them, in their order. Pillow decodes without Python's lock."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(found), AHEAD):
            some = found[start : start + AHEAD]
            for file, (content, pixels) in zip(some, pool.map(partial(read_image, size=size), some), strict=True):
                yield file, content, pixels


def decode(folder: Path, size: int, wanted: str, place: Path) -> About:
    """Write the pixels of all images in `folder`, whose digest is `wanted`, into `place`.

    Raises:
        Refused: an image cannot be read, a class folder is empty or unknown, or the digest is another one by now.
        OSError: `place` cannot be written.
    """
    found, digest = tree.tree_of(folder), tree.Digest(folder)
    tree.check(found, folder)
    total = len(tree.all_files(found))
    LOG.info(f"decoding {total:,} images of {folder}, once: {3 * size * size * total / 1e6:,.0f} MB in {place.parent}")

    def pixels(classes: dict[str, list[Path]], count: Callable[[], object]) -> Iterator[np.ndarray]:
        for file, content, image in read_images([file for each in classes.values() for file in each], size):
            digest.add(file, content)
            count()
            yield image

    with console.counting("decoding", total) as count:
        written = {
            split: pixel_cache.write_pixels(pixel_cache.pixel_file(place, split), pixels(classes, count))
            for split, classes in found.items()
        }
    if digest.hex() != wanted:
        raise Refused(f"{folder}: its images have changed while they were read. Run the same command again.")
    names = list(next(iter(found.values())))
    counts = {split: [len(classes.get(name, [])) for name in names] for split, classes in found.items()}
    return About(source=wanted, classes=names, shape=[3, size, size], counts=counts, pixels=written)


@dataclass(kw_only=True)
class Folder(Dataset):
    """A set of your own as image files: path/train/<class>/*.png and path/test/<class>/*.png (jpg, bmp, ppm, webp).

    For cleaning a model from elsewhere, path/clean/<class>/*.png alone is enough: the defender's images. They are
    decoded once, into root/cache, and read from there as they are needed: the set may be larger than memory.

    Fields:
        path: the folder; a relative path is looked for here, then under `root`
        size: images are resized to size x size pixels
    """

    path: str = options.folder(options.unnamed(MISSING))  # the content names the run, not its place
    size: int = 32
    flip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 8 <= self.size <= LARGEST:
            raise Refused(f"dataset.size={self.size}: images have 8 to {LARGEST} pixels a side.")

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def identity(self) -> str:
        return tree.source(self.at(self.path), self.cache).digest

    def read(self) -> Splits:
        path = self.at(self.path)
        source = tree.source(path, self.cache)
        place = self.cache / f"{source.digest[:16]}-{self.size}-{self.version}"
        try:
            classes, sets = pixel_cache.open_sets(place, partial(decode, path, self.size, source.digest))
        except OSError as error:
            raise Refused(
                f"{self.cache}: the decoded images cannot be kept there ({error.strerror}). "
                "Set dataset.root=FOLDER to where there is room."
            ) from error
        tree.remember(path, self.cache, source)
        first, *rest = sets.values()
        return Splits(first, rest[0], len(classes)) if rest else self.divide(first, len(classes))
