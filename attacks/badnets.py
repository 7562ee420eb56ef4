"""BadNets: a small patch in a corner (Gu, Dolan-Gavitt & Garg 2017, arXiv:1708.06733)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from attacks.base import Attack
from nba_cli.errors import Refused


class Corner(Enum):
    """Where the patch sits."""

    bottom_right = "bottom_right"
    bottom_left = "bottom_left"
    top_right = "top_right"
    top_left = "top_left"


class Pattern(Enum):
    """checker: pixels alternate between 1 and 0, starting with 1; white: all 1."""

    checker = "checker"
    white = "white"


@dataclass(kw_only=True)
class BadNets(Attack):
    """x' = (1 - m) x + m p with m = 1 on a square in a corner and p a pattern of 0 and 1.

    Gu et al. stamp a few bright pixels in the bottom-right corner; the 3x3 checkerboard is what public benchmarks
    use on 32x32 images.

    Fields:
        size: side of the square patch in pixels
        margin: pixels between the patch and the border
        corner: bottom_right, bottom_left, top_right or top_left
        pattern: checker or white
    """

    size: int = 3
    margin: int = 0
    corner: Corner = Corner.bottom_right
    pattern: Pattern = Pattern.checker

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1 or self.margin < 0:
            raise Refused(f"attack.size={self.size}, attack.margin={self.margin}: size is 1 or more, margin 0 or more.")

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        height, width = images.shape[2:]
        reach = self.size + self.margin
        if reach > min(height, width):
            raise Refused(f"attack.size={self.size} with margin={self.margin} does not fit images of {height}x{width}.")
        vertical, horizontal = self.corner.value.split("_")
        top = self.margin if vertical == "top" else height - reach
        left = self.margin if horizontal == "left" else width - reach
        steps = torch.arange(self.size, device=images.device)
        patch = torch.ones(self.size, self.size, device=images.device)
        if self.pattern is Pattern.checker:
            patch = ((steps[:, None] + steps[None, :]) % 2 == 0).to(images.dtype)
        out = images.clone()
        out[:, :, top : top + self.size, left : left + self.size] = patch
        return out
