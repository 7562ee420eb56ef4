"""mixup: images blended with others of the batch, and so are their labels (Zhang, Cisse, Dauphin & Lopez-Paz 2018)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mixed_up(x: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """x float [N,C,H,W] -> about a `share` of the images blended with the one that lies opposite, and how much [N] of
    each is still itself; None: all of each, and nothing is drawn.

    Blended ones keep a part drawn uniformly from [0,1], the others all. Nothing waits for the device.
    """
    if not share:
        return x, None
    draws = torch.rand((2, len(x)), generator=generator, device=generator.device).to(x.device)
    kept = torch.where(draws[0] < share, draws[1], 1.0)
    part = kept.view(-1, 1, 1, 1).to(x.dtype)
    return part * x + (1 - part) * x.flip(0), kept


def soft_labels(y: Tensor, kept: Tensor | None, num_classes: int) -> Tensor:
    """Labels int64 [N] and how much of each image is still itself (None: all) -> probabilities [N,K]."""
    hot = F.one_hot(y, num_classes).float()
    return hot if kept is None else kept[:, None] * hot + (1 - kept[:, None]) * hot.flip(0)
