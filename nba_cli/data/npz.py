"""Image sets in .npz files, in the Keras convention."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import MISSING

from nba_cli import options
from nba_cli.data.arrays import count_classes, to_data
from nba_cli.data.base import Dataset
from nba_cli.data.images import Splits
from nba_cli.errors import Refused
from nba_cli.files import file_digest

UNREADABLE = (  # what zipfile and numpy raise on damaged archives
    OSError,
    ValueError,
    EOFError,
    AttributeError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
KERAS_KEYS = ("x_train", "y_train", "x_test", "y_test")
CLEAN_KEYS = ("x_clean", "y_clean")


def read_arrays(path: Path) -> dict[str, np.ndarray]:
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
            found = {key: archive[key] for key in keys}
    except UNREADABLE as error:
        raise Refused(f"{path}: not a readable .npz, such as np.savez writes of arrays.") from error
    if strange := [key for key, value in found.items() if not isinstance(value, np.ndarray)]:
        raise Refused(f"{path}: {strange[0]} is no array.")
    return found


def read_npz(path: Path) -> Splits:
    """A file in the Keras convention: arrays x_train, y_train, x_test, y_test.

    Raises:
        Refused: the file is missing, damaged, or lacks or misshapes an array.
    """
    return to_splits(read_arrays(path), path)


def to_splits(found: dict[str, np.ndarray], path: Path) -> Splits:
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
    num_classes = count_classes(train, str(path))
    if first := int(train.labels.min()):
        raise Refused(f"{path}: training labels run from {first} to {num_classes - 1}; classes count from 0.")
    if int(test.labels.max()) >= num_classes:
        raise Refused(
            f"{path}: test label {int(test.labels.max())} is outside the training classes 0..{num_classes - 1}."
        )
    return Splits(train, test, num_classes)


@dataclass(kw_only=True)
class Npz(Dataset):
    """Any image set in the Keras convention: x_train, y_train, x_test, y_test (uint8 [N,H,W] or [N,H,W,C]).

    For cleaning a model from elsewhere, x_clean and y_clean alone are enough: the defender's images.

    Fields:
        path: the .npz file; a relative path is looked for here, then under `root`
    """

    path: str = options.file(options.unnamed(MISSING))  # the content names the run, not its place
    flip: bool = False

    def identity(self) -> str:
        with self.at(self.path) as path:
            return file_digest(path)

    def read(self) -> Splits:
        with self.at(self.path) as path:
            found = read_arrays(path)
            if CLEAN_KEYS[0] not in found:
                return to_splits(found, path)
            clean = to_data(found["x_clean"], found["y_clean"], str(path))
            return self.divide(clean, count_classes(clean, str(path)), self.path)
