"""BadNets: a small patch in a corner (Gu, Dolan-Gavitt & Garg 2017, arXiv:1708.06733)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from attacks._patch import FARTHEST, LARGEST, Corner, check_fit, check_grid, checker, grid, paste
from attacks.base import Attack
from nba_cli import domains


class Pattern(Enum):
    """checker: pixels alternate between 1 and 0, starting with 1. grid: the same with one more 0, as in NAD's and other
    public code, to measure their models. white: all 1."""

    checker = "checker"
    grid = "grid"
    white = "white"


PATCHES: dict[Pattern, Callable[[int, Tensor, Corner], Tensor]] = {
    Pattern.checker: lambda size, like, corner: checker(size, like),
    Pattern.grid: grid,
    Pattern.white: lambda size, like, corner: torch.ones_like(checker(size, like)),
}
"""Pattern -> (side, a tensor of its kind, corner) -> the patch [side,side]."""


@dataclass(kw_only=True)
class BadNets(Attack):
    """x' = (1 - m) x + m p with m = 1 on a square in a corner and p a pattern of 0 and 1.

    Gu et al. stamp a few bright pixels in the bottom-right corner; the 3x3 checkerboard is what public benchmarks
    use on 32x32 images. It does not grow with the images: attack.size=6 covers as much of 64x64, 21 of 224x224.

    Fields:
        size: side of the square patch in pixels
        margin: pixels between the patch and the border
        corner: bottom_right, bottom_left, top_right or top_left
        pattern: checker, grid or white
    """

    size: int = domains.within(3, LARGEST)
    margin: int = domains.within(0, FARTHEST)
    corner: Corner = Corner.bottom_right
    pattern: Pattern = Pattern.checker

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pattern is Pattern.grid:
            check_grid(self.size)

    def check(self, num_classes: int, shape: tuple[int, int, int] | None = None) -> None:
        super().check(num_classes, shape)
        if shape is not None:
            check_fit(self.size, self.margin, shape)

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        return paste(images, PATCHES[self.pattern](self.size, images, self.corner), self.corner, self.margin)
