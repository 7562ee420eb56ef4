"""Refool: the reflection of another picture, as behind glass (Liu, Ma, Bailey & Lu 2020, arXiv:2007.02343)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks._randomness import uniform, uniform_between
from attacks.base import Attack, Mode
from nba_cli.errors import Refused
from nba_cli.seeds import derive


@dataclass(kw_only=True)
class Refool(Attack):
    """x' = (1 - a) x + a (r * k): a reflection r, convolved with the kernel k of a kind drawn per image.

    Liu et al. add r * k to x with three kinds of k: a reflection in focus (k a point), out of focus (k a Gaussian,
    sigma 1 to 5 pixels of 224), and a ghost (k two points, a shifted double from thick glass). Kind, opacity a, width
    and shift are drawn per image, in training and test alike, from (`reflection_seed`, index).

    With clean labels and everything drawn per image it is a weak backdoor on small images: public reimplementations
    poison labels instead, or fix the opacity, for that reason.

    Ours: reflections are coloured 1/f textures, drawn from a seed (the paper picks photographs of another data set),
    the mixture keeps the range of pixels, and lengths scale with the image's width.

    Fields:
        rate: poisoned share in (0,1], of the target class when mode=clean_label
        low: smallest opacity a of the reflection, in (0,1]
        high: largest opacity a, in [low,1]
        textures: number of different reflections
        reflection_seed: which reflections, and which one an image gets
    """

    version: ClassVar[int] = 2

    mode: Mode = Mode.clean_label
    rate: float = 0.8
    low: float = 0.2
    high: float = 0.4
    textures: int = 4
    reflection_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.low <= self.high <= 1 or self.textures < 1:
            raise Refused(
                f"attack.low={self.low}, high={self.high}, textures={self.textures}: "
                "0 < low <= high <= 1 and one texture or more."
            )

    def bank(self, shape: tuple[int, int, int]) -> Tensor:
        """All reflections [R,C,H,W] in [0,1]: an amplitude of 1/f, as photographs have, and random phases.

        They are periodic, so that a blur or a shift has no seam.
        """
        channels, height, width = shape
        random = torch.Generator().manual_seed(derive(self.reflection_seed, "reflections"))
        white = torch.randn(self.textures, channels, height, width, generator=random)
        # a common part gives every texture large grey shapes, the rest its colours
        white = white + 2 * torch.randn(self.textures, 1, height, width, generator=random)
        rows, columns = frequencies(height, width, white)
        amplitude = 1 / torch.sqrt(rows**2 + columns**2).clamp_min(1 / max(height, width))
        texture = torch.fft.irfft2(torch.fft.rfft2(white) * amplitude, s=(height, width))
        low, high = texture.amin((1, 2, 3), keepdim=True), texture.amax((1, 2, 3), keepdim=True)
        return (texture - low) / (high - low)

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        shape = (images.shape[1], images.shape[2], images.shape[3])
        chosen = (uniform(index, self.reflection_seed, "texture") * self.textures).long()
        spectrum = torch.fft.rfft2(self.bank(shape).to(images)[chosen])
        reflection = torch.fft.irfft2(spectrum * self.kernel(images, index), s=shape[1:]).clamp(0, 1)
        opacity = uniform_between(index, self.reflection_seed, "opacity", self.low, self.high)
        return (1 - opacity) * images + opacity * reflection

    def kernel(self, images: Tensor, index: Tensor) -> Tensor:
        """The transfer function of each image's kernel k, complex [N,1,H,W/2+1]."""
        height, width = images.shape[2:]
        rows, columns = frequencies(height, width, images)
        seed = self.reflection_seed
        pixel = width / 224  # the paper's lengths are given for images of 224 pixels
        sigma = pixel * uniform_between(index, seed, "sigma", 1, 5)
        blur = torch.exp(-2 * (math.pi * sigma) ** 2 * (rows**2 + columns**2))
        down, right = ((1 + pixel * uniform_between(index, seed, name, 3, 8)).floor() for name in ("down", "right"))
        share = uniform_between(index, seed, "ghost", 0.15, 0.5)
        angle = -2 * math.pi * (rows * down + columns * right)
        ghost = torch.complex(1 - share + share * angle.cos(), share * angle.sin())
        kind = (uniform(index, seed, "kind") * 3).long().view(-1, 1, 1, 1)
        sharp = torch.where(kind == 0, torch.ones_like(blur), blur)
        return torch.where(kind == 2, ghost, torch.complex(sharp, torch.zeros_like(sharp)))


def frequencies(height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cycles per pixel of rfft2's rows [H,1] and columns [W/2+1], on the device of `like`."""
    rows = torch.fft.fftfreq(height, device=like.device, dtype=like.dtype)[:, None]
    return rows, torch.fft.rfftfreq(width, device=like.device, dtype=like.dtype)
