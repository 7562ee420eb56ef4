"""Square patches in the corners of images: what badnets, trojan and cl paste.

Their sizes count pixels, whatever the size of the images: 3 of 32 covers as much of an image as 6 of 64 or 21 of 224.
"""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

from nba_cli.errors import Refused


class Corner(Enum):
    """Where a patch sits."""

    bottom_right = "bottom_right"
    bottom_left = "bottom_left"
    top_right = "top_right"
    top_left = "top_left"


def checker(size: int, like: Tensor) -> Tensor:
    """[size,size], alternating 1 and 0, starting with 1."""
    steps = torch.arange(size, device=like.device)
    return ((steps[:, None] + steps[None, :]) % 2 == 0).to(like.dtype)


def grid(size: int, like: Tensor, corner: Corner) -> Tensor:
    """[size,size], a checkerboard whose pixel in the top row, farthest from the side border, is 0 as well.

    The 3x3 patch of Turner et al.'s code, in all its corners, and of NAD's and other public code ("gridTrigger").
    """
    pattern = checker(size, like)
    pattern[0, 0] = 0
    return pattern.flip(1) if corner in (Corner.bottom_left, Corner.top_left) else pattern


LARGEST = "[1,1024]"  # side in pixels
FARTHEST = "[0,1024]"  # from the border, in pixels


def check_fit(size: int, margin: int, shape: tuple[int, int, int]) -> None:
    """Check a patch against the images (C,H,W) that it is to be pasted into.

    Raises:
        Refused: it does not fit.
    """
    if size + margin > min(shape[1:]):
        raise Refused(
            f"attack.size={size} with attack.margin={margin}: the patch does not fit images of {shape[1]}x{shape[2]}."
        )


def check_grid(size: int) -> None:
    """Check the size of a grid.

    Raises:
        Refused: one of a single pixel, which is 0 and hence no trigger.
    """
    if size < 2:
        raise Refused(f"attack.size={size}: a grid has 2 or more pixels on a side.")


def paste(images: Tensor, patch: Tensor, corner: Corner, margin: int = 0) -> Tensor:
    """A copy of images [N,C,H,W] with `patch` (broadcast to [N,C,s,s]) in `corner`, `margin` pixels off the border.

    Raises:
        Refused: the patch does not fit.
    """
    size = patch.shape[-1]
    channels, height, width = images.shape[1:]
    check_fit(size, margin, (channels, height, width))
    reach = size + margin
    vertical, horizontal = corner.value.split("_")
    top = margin if vertical == "top" else height - reach
    left = margin if horizontal == "left" else width - reach
    out = images.clone()
    out[:, :, top : top + size, left : left + size] = patch
    return out
