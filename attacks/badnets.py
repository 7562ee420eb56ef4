"""BadNets: a small patch in a corner (Gu, Dolan-Gavitt & Garg 2017, arXiv:1708.06733)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from attacks.base import Attack
from attacks.patch import Corner, check, checker, paste


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
        check(self.size, self.margin)

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        patch = checker(self.size, images)
        if self.pattern is Pattern.white:
            patch = torch.ones_like(patch)
        return paste(images, patch, self.corner, self.margin)
