"""Images drawn from those that may be taken."""

from __future__ import annotations

import torch
from torch import Tensor


def some_of(eligible: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the `eligible` (bool [N]), or all where there are fewer: int64 indices, in random order."""
    pool = eligible.nonzero().flatten()
    return pool[torch.randperm(len(pool), generator=generator)[:count]]
