"""A single image file as pixels."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from nba_cli.data import tree
from nba_cli.errors import Refused

UNREADABLE = (  # what Pillow raises on damaged files
    OSError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_picture(file: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of an image file in colour, uint8 [3,H,W]; see `decoded`.

    Raises:
        Refused: it cannot be read, or is no image.
    """
    return decoded(tree.read(file), file, size)


def decoded(content: bytes, file: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels in the bytes of an image `file`, uint8 [3,H,W]; bilinear if `size` (H,W) is given and another.

    Raises:
        Refused: they are no image.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            colour = image.convert("RGB")
    except UNREADABLE as error:
        raise Refused(f"{file}: not a readable image ({error}).") from error
    if size is not None and colour.size != (size[1], size[0]):
        colour = colour.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(colour).transpose(2, 0, 1)
