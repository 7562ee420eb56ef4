"""Images in folders: train/<class>/* and test/<class>/* (or val/<class>/*), or clean/<class>/* alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
from omegaconf import MISSING

from nba_cli import console, options
from nba_cli.console import LOG
from nba_cli.data import pixel_cache, tree
from nba_cli.data.base import Dataset, say_resized
from nba_cli.data.images import Data, Splits
from nba_cli.data.picture import decoded, pixels
from nba_cli.data.pixel_cache import About
from nba_cli.data.tree import Layout
from nba_cli.errors import Refused

AHEAD = 256  # files that are decoded at a time, by several threads


@dataclass(frozen=True)
class Read:
    """An image file.

    Fields:
        file: which
        content: its bytes
        pixels: uint8 [3,size,size]; bilinear if the image has another size
        came: that other size, HxW
    """

    file: Path
    content: bytes
    pixels: np.ndarray
    came: str


def read_image(file: Path, size: int) -> Read:
    content = tree.read(file)
    image = decoded(content, file)
    return Read(file, content, pixels(image, (size, size)), f"{image.height}x{image.width}")


def read_images(found: list[Path], size: int) -> Iterator[Read]:
    """What `read_image` makes of files, in their order. Pillow decodes without Python's lock."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(found), AHEAD):
            some = found[start : start + AHEAD]
            yield from pool.map(partial(read_image, size=size), some)


def in_words(sizes: Counter[str]) -> str:
    """Images by their sizes: "224x224 images", or "images of 160x213 and 57 other sizes", the most frequent first."""
    (most, _), *others = sizes.most_common()
    return f"images of {most} and {len(others)} other size{'s'[: len(others) - 1]}" if others else f"{most} images"


def decode(folder: Path, layout: Layout, size: int, wanted: str, place: Path) -> About:
    """Write the pixels of all images in `folder`, whose digest is `wanted`, into `place`.

    Raises:
        Refused: an image cannot be read, a class folder is empty or unknown, or the digest is another one by now.
        OSError: `place` cannot be written.
    """
    found, digest, sizes = layout.tree(folder), tree.Digest(folder), Counter[str]()
    tree.check(found, folder)
    total = len(tree.all_files(found))
    LOG.info(f"decoding {total:,} images of {folder}, once: {3 * size * size * total / 1e6:,.0f} MB in {place.parent}")

    def images(classes: dict[str, list[Path]], count: Callable[[], object]) -> Iterator[np.ndarray]:
        for read in read_images([file for each in classes.values() for file in each], size):
            digest.add(read.file, read.content)
            sizes[read.came] += 1
            count()
            yield read.pixels

    with console.counting("decoding", total) as count:
        written = {
            split: pixel_cache.write_pixels(pixel_cache.pixel_file(place, split), images(classes, count))
            for split, classes in found.items()
        }
    for name in layout.beside:
        digest.add(folder / name, tree.read(folder / name))
    if digest.hex() != wanted:
        raise Refused(f"{folder}: its images have changed while they were read. Run the same command again.")
    names = list(next(iter(found.values())))
    counts = {split: [len(classes.get(name, [])) for name in names] for split, classes in found.items()}
    came = in_words(sizes)
    return About(source=wanted, classes=names, shape=[3, size, size], counts=counts, pixels=written, came=came)


@dataclass(kw_only=True)
class Folder(Dataset):
    """A set of your own as image files: path/train/<class>/*.png and path/test/<class>/*.png (jpg, bmp, ppm, webp).

    val/ takes the place of a test/ that is not there, as in Imagenette. For cleaning a model from elsewhere,
    path/clean/<class>/*.png alone is enough: the defender's images. They are decoded once, into root/cache, and read
    from there as they are needed: the set may be larger than memory. Nothing is cropped: an image that is no square is
    stretched to one.

    Fields:
        path: the folder; a relative path is looked for here, then under `root`
        size: images become size x size pixels
    """

    version: ClassVar[int] = 2
    layout: ClassVar[Layout] = Layout()

    path: str = options.folder(options.unnamed(MISSING))  # the content names the run, not its place
    size: int | None = 32
    flip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is None:
            raise Refused("dataset.size=null: files may come in many sizes; say which one all images shall have.")

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def identity(self) -> str:
        with self.at(self.path) as path:
            return tree.source(path, self.cache, self.layout).digest

    def read(self) -> Splits:
        size = cast(int, self.size)
        with self.at(self.path) as path:
            source = tree.source(path, self.cache, self.layout)
            about, sets = self.opened(path, size, source.digest)
        tree.remember(path, self.cache, source)
        if about.came not in ("", f"{size}x{size} images"):
            say_resized(about.came, size)
        first, *rest = sets.values()
        count = len(about.classes)
        splits = Splits(first, rest[0], count) if rest else self.divide(first, count, self.path)
        return replace(splits, names=about.classes)

    def opened(self, path: Path, size: int, digest: str) -> tuple[About, dict[str, Data]]:
        """The images below `path`, of this digest, as they lie decoded in the cache, where they are put if need be.

        Raises:
            Refused: an image cannot be read, or the cache cannot be written.
        """
        place = self.cache / f"{digest[:16]}-{size}-{self.version}"
        try:
            return pixel_cache.open_sets(place, partial(decode, path, self.layout, size, digest))
        except OSError as error:
            raise Refused(
                f"{self.cache}: the decoded images cannot be kept there ({error.strerror}). "
                "Set dataset.root=FOLDER to where there is room."
            ) from error
