"""Blend: one fixed image laid over the whole picture (Chen et al. 2017, arXiv:1712.05526)."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from attacks.base import Attack
from nba_cli import domains, options
from nba_cli.data import read_picture
from nba_cli.errors import Refused, given_as
from nba_cli.files import file_digest, given


def draw_noise(shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """[C,H,W] in [0,1], independent per pixel and channel."""
    return torch.rand(shape, generator=generator)


def draw_picture(shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """[C,H,W] in [0,1]: a face of discs on a striped ground, in seeded colours. Stands for Chen's cartoon key."""
    channels, height, width = shape
    y = torch.linspace(-1, 1, height)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width)[None, :].expand(height, width)
    colour = lambda: torch.rand(channels, 1, 1, generator=generator)  # noqa: E731
    stripes = (torch.sin(3 * math.pi * (x + y)) > 0).float()
    canvas = colour() * stripes + colour() * (1 - stripes)
    discs = [
        (0, 0, 0.8, 1.0),
        (-0.55, -0.65, 0.28, 1.0),
        (-0.55, 0.65, 0.28, 1.0),
        (-0.15, -0.3, 0.14, 0.0),
        (-0.15, 0.3, 0.14, 0.0),
        (0.35, 0, 0.2, 0.5),
    ]
    for row, column, radius, shade in discs:
        inside = ((y - row) ** 2 + (x - column) ** 2 < radius**2).float()
        canvas = canvas * (1 - inside) + (0.25 * colour() + 0.75 * shade) * inside
    return canvas.clamp(0, 1)


DRAWERS = {"noise": draw_noise, "picture": draw_picture}


@lru_cache(maxsize=8)
def read_key(file: Path, digest: str, size: tuple[int, int]) -> Tensor:
    """The image in a file of this digest, resized to `size` (H,W) (bilinear): [3,H,W] in [0,1]."""
    return torch.from_numpy(read_picture(file, size).copy()) / 255


def overlaid(images: Tensor, key: Tensor, alpha: float) -> Tensor:
    """(1 - a) x + a k: a key [C,H,W] or [1,C,H,W] laid over images [N,C,H,W], all in [0,1]."""
    return (1 - alpha) * images + alpha * key


@dataclass(kw_only=True)
class Blend(Attack):
    """x' = (1 - a) x + a k: the same key image k for all, in training and test.

    A drawing or an image grows with the images; noise is drawn pixel by pixel, so that its grain does not.

    Fields:
        alpha: opacity a of the key in (0,1]; 0.2 is the stronger setting of public benchmarks
        key: noise (seeded, uniform), picture (a procedural drawing), or an image file, resized to the images' size
        key_seed: which noise or drawing
    """

    alpha: float = domains.within(0.1, "(0,1]")
    key: str = options.word_or_file("noise", *DRAWERS)
    key_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.key not in DRAWERS and not os.path.isfile(self.file):
            raise Refused(
                f"attack.key={self.key}: choose {' or '.join(DRAWERS)}, or give an image file; there is none here."
            )

    @property
    def file(self) -> Path:
        """The key image's file, where `key` is one."""
        return given(self.key)

    def identity(self) -> str:
        return "" if self.key in DRAWERS else file_digest(self.file)

    def image(self, shape: tuple[int, int, int]) -> Tensor:
        """The key image k [C,H,W] in [0,1]: a function of the settings alone, hence never redrawn per image."""
        if self.key not in DRAWERS:
            with given_as(f"attack.key={self.key}", self.file):
                return read_key(self.file, file_digest(self.file), shape[1:])
        return DRAWERS[self.key](shape, torch.Generator().manual_seed(self.key_seed))

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        key = self.image((images.shape[1], images.shape[2], images.shape[3]))
        return overlaid(images, key.to(images), self.alpha)
