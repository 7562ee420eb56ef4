"""SIG: a faint sinusoidal stripe over the whole image, without changing a label (Barni, Kallas & Tondi 2019,
arXiv:1902.11237)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.base import Attack, Mode
from nba_cli import domains


@dataclass(kw_only=True)
class Sig(Attack):
    """x'(i,j) = clip(x(i,j) + D sin(2 pi f j / W)): vertical stripes, the same on every channel.

    Barni et al. poison the target class alone and keep its labels. Their D is 20 (of 255) in training; test strengths
    of 30 to 60 are common elsewhere. Here D is the same in training and test unless `test_delta` says otherwise.
    Stripes grow with the image: it has f of them at every size.

    Fields:
        rate: poisoned share in (0,1], of the target class when mode=clean_label
        delta: amplitude D in 8-bit levels, above 0
        test_delta: amplitude at test time in 8-bit levels; null: the same as delta
        frequency: number f of periods over the image's width W
    """

    mode: Mode = Mode.clean_label
    rate: float = 0.8
    delta: float = domains.within(20.0, "(0,255]")
    test_delta: float | None = domains.within(None, "(0,255]")
    frequency: float = domains.within(6.0, "(0,1000]")

    def strength(self, *, train: bool) -> float:
        return self.delta if train or self.test_delta is None else self.test_delta

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        width = images.shape[3]
        columns = torch.arange(width, device=images.device, dtype=images.dtype)
        wave = torch.sin(2 * math.pi * self.frequency * columns / width)
        return (images + self.strength(train=train) / 255 * wave).clamp(0, 1)
