"""Attention maps, and the distance that NAD and ARGD take between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def unit(x: Tensor) -> Tensor:
    """[N,...] -> [N,D] in fp32 with Euclidean norm 1 per sample (a zero sample stays zero)."""
    return F.normalize(x.flatten(1).float(), dim=1, eps=1e-12)


def attention(stages: Sequence[Tensor]) -> list[Tensor]:
    """A_l = sum_c F_c^2, unit norm: where a stage looks (Zagoruyko & Komodakis 2017; NAD). One [N, H_l W_l] a stage."""
    return [unit(stage.float().square().sum(1)) for stage in stages]


def attention_distance(student: list[Tensor], teacher: list[Tensor], weights: list[float]) -> Tensor:
    """sum_l b_l |A_l(S) - A_l(T)|^2 over the last stages, mean over samples: a scalar."""
    count = min(len(weights), len(student))
    return weighted(attention(student[-count:]), attention(teacher[-count:]), weights[-count:])


def weighted(student: list[Tensor], teacher: list[Tensor], weights: list[float]) -> Tensor:
    """sum_l b_l |a_l - b_l|^2 of two lists of maps [N,...], mean over samples: a scalar."""
    pairs = zip(weights, student, teacher, strict=True)
    return torch.stack([weight * (a - b).flatten(1).square().sum(1).mean() for weight, a, b in pairs]).sum()
