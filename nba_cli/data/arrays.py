"""Arrays and files -> checked uint8 tensors."""

from __future__ import annotations

import functools
import hashlib
import os
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from nba_cli.data.base import Data, Splits
from nba_cli.errors import Refused

UNREADABLE = (  # what zipfile and numpy raise on damaged archives
    OSError,
    ValueError,
    EOFError,
    AttributeError,
    NotImplementedError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
KERAS_KEYS = ("x_train", "y_train", "x_test", "y_test")
CLEAN_KEYS = ("x_clean", "y_clean")


def to_data(images: np.ndarray, labels: np.ndarray, where: str) -> Data:
    """Keras layout ([N,H,W] or [N,H,W,C] uint8 images, [N] or [N,1] integer labels) -> Data.

    Raises:
        Refused: another shape or type; `where` names the array in the message.
    """
    if images.dtype != np.uint8:
        raise Refused(f"{where}: images are {images.dtype}; they must be uint8 in 0..255.")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise Refused(f"{where}: images have shape {list(images.shape)}; they must be [N,H,W], [N,H,W,1] or [N,H,W,3].")
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise Refused(f"{where}: labels are {labels.dtype} {list(labels.shape)}; they must be integers [N].")
    if len(labels) != len(images):
        raise Refused(f"{where}: {len(images)} images but {len(labels)} labels.")
    if not len(labels):
        raise Refused(f"{where}: there is no image in it.")
    if labels.min() < 0:
        raise Refused(f"{where}: label {labels.min()} is negative; classes count from 0.")
    # torch's parallel copy of a permuted view, not NumPy's: loading CIFAR-10 spends most of its time here
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    return Data(pixels.contiguous(), torch.from_numpy(labels.astype(np.int64)))


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays x_train, y_train, x_test, y_test of a file in the Keras convention, or x_clean and y_clean alone.

    Raises:
        Refused: the file is missing, damaged, or lacks an array.
    """
    if not path.is_file():
        raise Refused(f"{path}: no such file. It must be an .npz with {', '.join(KERAS_KEYS)}.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            keys = CLEAN_KEYS if "x_clean" in archive and "x_train" not in archive else KERAS_KEYS
            missing = [key for key in keys if key not in archive]
            if missing:
                raise Refused(f"{path}: array {missing[0]} is missing; found {', '.join(archive.files) or 'none'}.")
            return {key: archive[key] for key in keys}
    except UNREADABLE as error:
        raise Refused(f"{path}: not a readable .npz ({error}).") from error


def classes(data: Data, where: str) -> int:
    """The number of classes, the largest label + 1.

    Raises:
        Refused: there is one class only.
    """
    count = int(data.labels.max()) + 1
    if count < 2:
        raise Refused(f"{where}: all training labels are 0; a classifier needs two classes or more.")
    return count


def read_npz(path: Path) -> Splits:
    """A file in the Keras convention: arrays x_train, y_train, x_test, y_test.

    Raises:
        Refused: the file is missing, damaged, or lacks or misshapes an array.
    """
    return splits(arrays(path), path)


def splits(found: dict[str, np.ndarray], path: Path) -> Splits:
    """The training and test set in `arrays` that came from `path`.

    Raises:
        Refused: there is none, or it is misshapen.
    """
    if CLEAN_KEYS[0] in found:
        raise Refused(f"{path}: array x_train is missing; it holds clean images alone.")
    train, test = (to_data(found[f"x_{part}"], found[f"y_{part}"], f"{path} ({part})") for part in ("train", "test"))
    if train.images.shape[1:] != test.images.shape[1:]:
        raise Refused(
            f"{path}: training images are {list(train.images.shape[1:])}, test images {list(test.images.shape[1:])}."
        )
    num_classes = classes(train, str(path))
    if int(test.labels.max()) >= num_classes:
        raise Refused(
            f"{path}: test label {int(test.labels.max())} is outside the training classes 0..{num_classes - 1}."
        )
    return Splits(train, test, num_classes)


@functools.lru_cache(maxsize=32)
def _file_digest(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, computed once per process while the file stays unchanged."""
    if not path.is_file():
        raise Refused(f"{path}: no such file.")
    stat = os.stat(path)
    return _file_digest(str(path), stat.st_size, stat.st_mtime_ns)
