"""Decoded images in files: written once, mapped into memory from then on.

A cache folder holds the pixels of each split in <split>.uint8 and says in about.json what they are. It is named by the
content that it was decoded from and appears whole, by rename, so what is in it never changes.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from nba_cli import files
from nba_cli.console import LOG
from nba_cli.data.images import Data
from nba_cli.data.mapped import Mapped, mapped

ABOUT = "about.json"
MISSING = "missing"


@dataclass(frozen=True)
class About:
    """What a cache folder holds.

    Fields:
        source: digest of the image files that were decoded
        classes: their names; a label is the place of a name
        shape: [C,H,W] of the images
        counts: by split, the number of images of each class, one class after the other
        pixels: by split, SHA-256 of its file
        came: the image files by their sizes, in words; empty: not known
    """

    source: str
    classes: list[str]
    shape: list[int]
    counts: dict[str, list[int]]
    pixels: dict[str, str]
    came: str = ""


def pixel_file(place: Path, split: str) -> Path:
    return place / f"{split}.uint8"


def write_pixels(file: Path, images: Iterable[np.ndarray]) -> str:
    """Write images uint8 [C,H,W] one after the other; returns the SHA-256 of the file."""
    sha = hashlib.sha256()
    with file.open("wb") as opened:
        for image in images:
            content = image.tobytes()
            opened.write(content)
            sha.update(content)
    return sha.hexdigest()


def open_sets(place: Path, build: Callable[[Path], About]) -> tuple[About, dict[str, Data]]:
    """What a cache folder holds, and its sets by split.

    Where the folder is missing or damaged, `build` fills another one, which takes its place. Whoever needs the same
    folder meanwhile waits. All of the pixels are compared with their digest, once per process.

    Raises:
        OSError: the folder cannot be written; nothing is left behind.
    """
    if fault(place) is not None:
        with locked(place):
            why = fault(place)  # once more: whoever held the lock may have filled it
            if why not in (None, MISSING):
                LOG.warning(f"{place}: {why}; the images are decoded again")
            if why is not None:
                fill(place, build)
    about = read_about(place)
    return about, {split: open_set(place, about, split) for split in about.counts}


def fault(place: Path) -> str | None:
    """What is wrong with a cache folder: MISSING or, in words, the damage; None: nothing."""
    if not place.is_dir():
        return MISSING
    try:
        about = read_about(place)
        for split, digest in about.pixels.items():
            file = pixel_file(place, split)
            if file.stat().st_size != math.prod(about.shape) * sum(about.counts[split]):
                return f"{file.name} has the wrong size"
            if files.file_digest(file) != digest:
                return f"{file.name} does not have the digest that {ABOUT} says"
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "a file is missing or damaged"
    return None


def read_about(place: Path) -> About:
    """What the folder says that it holds.

    Raises:
        OSError, ValueError, TypeError: it does not say it, or no longer what was written.
    """
    found = json.loads((place / ABOUT).read_text(encoding="utf-8"))
    if not files.unbroken(found):
        raise ValueError(f"{ABOUT} has changed since it was written")
    found.pop(files.SEAL, None)
    return About(**found)


def open_set(place: Path, about: About, split: str) -> Mapped:
    file, counts = pixel_file(place, split), torch.tensor(about.counts[split])
    labels = torch.arange(len(counts)).repeat_interleave(counts)
    return Mapped(mapped(file, [len(labels), *about.shape]), labels, file)


def fill(place: Path, build: Callable[[Path], About]) -> None:
    """Let `build` write a cache folder under another name, then give it its own."""
    part = place.with_name(place.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        part.mkdir()
        about = build(part)
        (part / ABOUT).write_text(json.dumps(files.sealed(asdict(about))) + "\n", encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)  # a damaged one; whoever has mapped it keeps it
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Hold the lock of a cache folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    waiting = partial(LOG.info, f"waiting: another process decodes the images of {place}")
    with files.acquired(place.parent / f".{place.name}.lock", waiting):
        yield
