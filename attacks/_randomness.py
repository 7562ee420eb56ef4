"""Randomness per image: a function of (seed, index), so that batching never changes a pixel.

A counter-based hash instead of a generator: it runs on any device and draws for many images at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nba_cli.seeds import derive

WORD = 0xFFFFFFFF


def scramble(x: Tensor) -> Tensor:
    """A bijection of 32-bit words (held in int64) in which every input bit flips about half of the output bits."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> shift)) * factor) & WORD
    return x ^ (x >> 16)


def uniform(index: Tensor, seed: int, purpose: str) -> Tensor:
    """Uniform in [0,1): int64 of any shape -> float32 of that shape; another stream for every `purpose`."""
    key = derive(seed, purpose) & WORD
    return (scramble(scramble(index & WORD) ^ key) >> 8).to(torch.float32) / 2**24


def uniform_between(index: Tensor, seed: int, purpose: str, low: float, high: float) -> Tensor:
    """Uniform in [low,high), shaped [N,1,1,1] to scale images [N,C,H,W]."""
    return (low + (high - low) * uniform(index, seed, purpose)).view(-1, 1, 1, 1)
