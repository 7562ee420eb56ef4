"""Reflections in a pane of glass: ghost and out of focus as in `blend_images` of Refool's public code, and in focus."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attacks._randomness import uniform, uniform_between
from nba_cli.seeds import derive

GAMMA = 2.2
GHOSTS = 0.49  # share of ghosts; half of the other images have their reflection in focus, half out of focus


def textures(count: int, shape: tuple[int, int, int], seed: int) -> Tensor:
    """Reflections [count,C,H,W] in [0,1]: an amplitude of 1/f, as photographs have, and random phases.

    They are periodic, so that a blur or a shift has no seam. The first ones do not depend on `count`.
    """
    channels, height, width = shape
    random = torch.Generator().manual_seed(derive(seed, "reflections"))
    # a common part gives every texture large grey shapes, the rest its colours
    white = torch.stack(
        [
            torch.randn(channels, height, width, generator=random) + 2 * torch.randn(1, height, width, generator=random)
            for _ in range(count)
        ]
    )
    rows, columns = frequencies(height, width, white)
    amplitude = 1 / torch.sqrt(rows**2 + columns**2).clamp_min(1 / max(height, width))
    texture = torch.fft.irfft2(torch.fft.rfft2(white) * amplitude, s=(height, width))
    low, high = texture.amin((1, 2, 3), keepdim=True), texture.amax((1, 2, 3), keepdim=True)
    return (texture - low) / (high - low)


def lay(images: Tensor, reflections: Tensor, index: Tensor, seed: int, low: float, high: float) -> Tensor:
    """Images x and reflections r, both [N,C,H,W] in [0,1] -> x' of that shape and range.

    With t = x^2.2, r in linear light too, and an opacity o in [low, high), x'^2.2 is, clipped to [0,1],

        in focus:      (1 - o) t + o r
        out of focus:  (1 - o) t + (1 + o) / 2 window clip(b - a max(0, mean - 1), 0, 1)
        ghost:         (1 - o) t + o (s r + (1 - s) shifted(r))

    b is r blurred by a Gaussian of 1 to 5 pixels, mean a channel's mean of b + t where it exceeds 1, a in [1.08, 1.18],
    window a Gaussian that falls to exp(-4.5) in the corners, s in [0.15, 0.85] without the middle (0.5 is not reached),
    the shift 3 to 8 pixels in both directions.
    """
    t, r = (part.clamp(0, 1).pow(GAMMA) for part in (images, reflections))
    opacity = uniform_between(index, seed, "opacity", low, high)
    kind = uniform(index, seed, "kind").view(-1, 1, 1, 1)
    glass = opacity * torch.where(kind < GHOSTS, ghost(r, index, seed), r)
    blurred = (1 + opacity) / 2 * window(images) * out_of_focus(r, t, index, seed)
    added = torch.where(kind < (1 + GHOSTS) / 2, glass, blurred)
    return ((1 - opacity) * t + added).clamp(1e-8, 1).pow(1 / GAMMA)  # above 0, where a root has no gradient


def ghost(r: Tensor, index: Tensor, seed: int) -> Tensor:
    """Reflections and a double of them, shifted: thick glass reflects twice."""
    height, width = r.shape[2:]
    rows, columns = frequencies(height, width, r)
    down, right = (uniform_between(index, seed, name, 3, 9).floor() for name in ("down", "right"))
    share = uniform_between(index, seed, "ghost", 0.15, 0.5)
    share = torch.where(uniform_between(index, seed, "first", 0, 1) < 0.5, share, 1 - share)
    angle = -2 * math.pi * (rows * down + columns * right)
    transfer = torch.complex(share + (1 - share) * angle.cos(), (1 - share) * angle.sin())
    return torch.fft.irfft2(torch.fft.rfft2(r) * transfer, s=(height, width)).clamp(0, 1)


def out_of_focus(r: Tensor, t: Tensor, index: Tensor, seed: int) -> Tensor:
    """Blurred reflections, less what would overexpose the picture."""
    height, width = r.shape[2:]
    rows, columns = frequencies(height, width, r)
    sigma = uniform_between(index, seed, "sigma", 1, 5)
    transfer = torch.exp(-2 * (math.pi * sigma) ** 2 * (rows**2 + columns**2))
    blurred = torch.fft.irfft2(torch.fft.rfft2(r) * transfer, s=(height, width)).clamp(0, 1)
    bright = blurred + t
    over = (bright > 1).to(bright.dtype)
    mean = (bright * over).sum((2, 3), keepdim=True) / (over.sum((2, 3), keepdim=True) + 1e-6)
    factor = uniform_between(index, seed, "attenuation", 1.08, 1.18)
    return (blurred - factor * (mean.clamp_min(1) - 1)).clamp(0, 1)


def window(like: Tensor) -> Tensor:
    """exp(-(u^2 + v^2) / 4) over the image [H,W], with u and v from -3 to 3."""
    u, v = (torch.linspace(-3, 3, size, device=like.device, dtype=like.dtype) for size in like.shape[2:])
    return torch.exp(-(u[:, None] ** 2 + v**2) / 4)


def frequencies(height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cycles per pixel of rfft2's rows [H,1] and columns [W/2+1], on the device of `like`."""
    rows = torch.fft.fftfreq(height, device=like.device, dtype=like.dtype)[:, None]
    return rows, torch.fft.rfftfreq(width, device=like.device, dtype=like.dtype)
