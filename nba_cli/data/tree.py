"""Folders of image files as they lie on the disk: which there are, what is in them, and whether they have changed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from nba_cli import files
from nba_cli.errors import Refused

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp"}

Tree = dict[str, dict[str, list[Path]]]
"""Split -> class -> its image files, all by name."""


def image_files(folder: Path) -> list[Path]:
    """The images directly in `folder`, by name; hidden files and other kinds are passed over.

    Raises:
        Refused: the folder cannot be read.
    """
    with files.reading(folder):
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")


def classes_of(folder: Path) -> list[str]:
    """The class folders of a split, by name.

    Raises:
        Refused: there is no such folder, or it holds no class folders, or cannot be read.
    """
    if not folder.is_dir():
        raise Refused(f"{folder}: no such folder. It must hold a folder of images per class.")
    with files.reading(folder):
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if not names:
        raise Refused(f"{folder}: there are no class folders in it.")
    return names


def splits_of(folder: Path) -> tuple[str, ...]:
    """train and test, or train and val; clean alone if that is all there is."""
    if (folder / "clean").is_dir() and not (folder / "train").exists():
        return ("clean",)
    return ("train", "val" if (folder / "val").is_dir() and not (folder / "test").exists() else "test")


def by_class(folder: Path) -> Tree:
    """The image files of all splits, each <split>/<class>/*.

    Raises:
        Refused: a split is missing or holds no class folders.
    """
    return {
        split: {name: image_files(folder / split / name) for name in classes_of(folder / split)}
        for split in splits_of(folder)
    }


@dataclass(frozen=True)
class Layout:
    """How a set of images lies in its folder.

    Fields:
        tree: the folder -> its image files by split and class
        beside: files that say what the images are, relative to the folder: their content counts, too
    """

    tree: Callable[[Path], Tree] = by_class
    beside: tuple[str, ...] = ()


def all_files(tree: Tree) -> list[Path]:
    """The files of a tree in the order of their digest and of the decoded images: split, class, name."""
    return [file for classes in tree.values() for found in classes.values() for file in found]


def check(tree: Tree, folder: Path) -> None:
    """Check that the tree in `folder` is a classification set.

    Raises:
        Refused: one class only, an empty class folder, or one that the first split does not have; names it.
    """
    first, *_ = tree
    known = list(tree[first])
    if len(known) < 2:
        raise Refused(f"{folder / first}: one class only; a classifier needs two or more.")
    for split, classes in tree.items():
        for name, found in classes.items():
            where = folder / split / name
            if name not in known:
                raise Refused(f"{where}: there is no such class in {first}/, which has {', '.join(known[:5])} …")
            if not found:
                raise Refused(f"{where}: no image in it ({' '.join(sorted(SUFFIXES))}).")


def read(file: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        Refused: it cannot be read.
    """
    with files.reading(file):
        return files.regular(file).read_bytes()


class Digest:
    """SHA-256 over the names and bytes of files in `folder`: the images in the order of `all_files`, then what is
    beside them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.sha = folder, hashlib.sha256()

    def add(self, file: Path, content: bytes) -> None:
        self.sha.update(os.fsencode(f"{file.relative_to(self.folder).as_posix()} {len(content)} "))
        self.sha.update(content)

    def hex(self) -> str:
        return self.sha.hexdigest()


def fingerprint(folder: Path, found: list[Path]) -> str:
    """SHA-256 over names, sizes and times (ns) of the files `found`: another one whenever one has been written.

    The time of change (ctime) counts beside that of the content (mtime), which copying and unpacking may set back.

    Raises:
        Refused: a file is gone, as that to which a link leads.
    """
    sha = hashlib.sha256()
    for file in found:
        with files.reading(file):
            stat = file.stat()
        line = f"{file.relative_to(folder).as_posix()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}\n"
        sha.update(os.fsencode(line))  # a name may be no text
    return sha.hexdigest()


@dataclass(frozen=True)
class Source:
    """What is known of a folder of images.

    Fields:
        fingerprint: of the names, sizes and times of its files, taken before they were read
        digest: of the names and bytes of its files
    """

    fingerprint: str
    digest: str


def record_file(folder: Path, cache: Path) -> Path:
    """Where `remember` keeps what is known of `folder`."""
    place = folder.resolve()
    return cache / f"{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:10]}.json"


@functools.lru_cache(maxsize=8)
def source(folder: Path, cache: Path, layout: Layout) -> Source:
    """What `folder` holds, looked at once per process.

    Its files are read only if its fingerprint is not the one that `remember` has kept below `cache`.

    Raises:
        Refused: a split is missing or holds no class folders, or a file cannot be read.
    """
    found = [*all_files(layout.tree(folder)), *(folder / name for name in layout.beside)]
    mark = fingerprint(folder, found)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # nothing kept, or damaged
        kept = json.loads(record_file(folder, cache).read_text(encoding="utf-8"))
        if kept["fingerprint"] == mark and files.unbroken(kept):
            return Source(mark, str(kept["digest"]))
    digest = Digest(folder)
    for file in found:
        digest.add(file, read(file))
    return Source(mark, digest.hex())


def remember(folder: Path, cache: Path, found: Source) -> None:
    """Keep what is known of `folder`, so that another process need not read it."""
    file = record_file(folder, cache)
    text = json.dumps(files.sealed(asdict(found) | {"folder": str(folder.resolve())})) + "\n"
    with contextlib.suppress(OSError):  # it saves time and nothing else
        if not file.is_file() or file.read_bytes() != text.encode():
            files.write(file, text)
