"""Neural behavior: the FORM of the knowledge that NBA distils.

A network's behavior on a batch is a list of tensors [N,...], each of unit norm per sample, built from its stage
outputs F_l [N,C_l,H_l,W_l]. Which forms the paper uses is known from a third-party summary (response, learning,
prediction); the formulas here are our reconstruction.

The stages of a transformer are its tokens [N,T,D], as maps [N,D,h,w]: each of the D features is a channel over the grid
of the h w patches, F_l[n,d,i,j] = token[n, T - h w + i w + j, d]. The class token before them has no place in the image
and is left out. `victims.taps` makes the maps, and says which blocks are stages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from nba_cli import devices
from nba_cli.defenses._attention import attention, unit

Behavior = list[Tensor]


class Form(Enum):
    """response, learning, prediction: the three of the paper [summary]; the others serve the ablation [ours].

    response: Gram matrix of each stage. learning: cross-Gram of adjacent stages. prediction: softened class
    probabilities. attention: energy map of each stage. feature: the stage outputs themselves. similarity: relations
    among the samples of the batch.
    """

    response = "response"
    learning = "learning"
    prediction = "prediction"
    attention = "attention"
    feature = "feature"
    similarity = "similarity"


def positions(stage: Tensor) -> Tensor:
    """[N,C,H,W] -> [N,HW,C] in fp32: a view if the map is channels_last, as it is here."""
    return stage.float().permute(0, 2, 3, 1).flatten(1, 2)


def response(stages: Sequence[Tensor]) -> Behavior:
    """G_l = F_l F_l^T / (H_l W_l), unit Frobenius norm: which channels fire together. One [N, C_l^2] a stage."""
    maps = [positions(stage) for stage in stages]
    return [unit(m.transpose(1, 2) @ m / m.shape[1]) for m in maps]


def learning(stages: Sequence[Tensor]) -> Behavior:
    """pool(F_l) F_{l+1}^T / (H W) on the coarser grid, unit norm: how a stage turns into the next one.

    The cross-Gram of adjacent stages (the "flow" of Yim et al., CVPR 2017). One [N, C_l C_{l+1}] a pair.
    """
    pairs = []
    for shallow, deep in pairwise(stages):
        pooled = positions(F.adaptive_avg_pool2d(shallow.float(), (deep.shape[2], deep.shape[3])))
        pairs.append(unit(pooled.transpose(1, 2) @ positions(deep) / pooled.shape[1]))
    return pairs


def feature(stages: Sequence[Tensor]) -> Behavior:
    """The stage outputs themselves, unit norm. One [N, C_l H_l W_l] a stage."""
    return [unit(stage) for stage in stages]


def similarity(stages: Sequence[Tensor]) -> Behavior:
    """Cosines between the samples of the batch, a unit-norm row each (Tung & Mori 2019). One [N,N] a stage."""
    return [unit(unit(stage) @ unit(stage).T) for stage in stages]


FORMS: dict[Form, Callable[[Sequence[Tensor]], Behavior]] = {
    Form.response: response,
    Form.learning: learning,
    Form.attention: attention,
    Form.feature: feature,
    Form.similarity: similarity,
}
"""Forms read off the stages; `prediction` is read off the logits, see `divergence`."""


def behave(stages: Sequence[Tensor], forms: Sequence[Form]) -> Behavior:
    """The behavior in all of `forms` that are read off the stages, in fp32: Gram sums overflow fp16."""
    with devices.exact(stages[0].device):
        return [part for form in forms if form in FORMS for part in FORMS[form](stages)]


def distance(student: Behavior, teacher: Behavior) -> Tensor:
    """d = mean of 1 - <b_S, b_T> over parts and samples: a scalar in [0,2], 0 for equal behaviors."""
    parts = [1 - (b_s * b_t).sum(1).mean() for b_s, b_t in zip(student, teacher, strict=True)]
    return torch.stack(parts).mean()


def divergence(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """tau^2 KL(softmax(teacher / tau) || softmax(student / tau)), mean over samples (Hinton et al. 2015)."""
    log_student = F.log_softmax(student.float() / tau, dim=1)
    log_teacher = F.log_softmax(teacher.float() / tau, dim=1)
    return tau**2 * F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
