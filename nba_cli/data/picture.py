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
    """The pixels of an image file in colour, uint8 [3,H,W]; bilinear if `size` (H,W) is given and another.

    Raises:
        Refused: it cannot be read, or is no image.
    """
    image = decoded(tree.read(file), file)
    return pixels(image, size or (image.height, image.width))


def decoded(content: bytes, file: Path) -> Image.Image:
    """The image, in colour, in the bytes of an image `file`; of 16 bits a pixel the upper eight.

    Raises:
        Refused: they are no image.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            return image.convert("RGB")
    except UNREADABLE as error:
        raise Refused(f"{file}: not a readable image, such as a PNG or JPEG.") from error


def pixels(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """The pixels of a colour image at `size` (H,W), uint8 [3,H,W]; bilinear if it has another."""
    height, width = size
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)
