"""Pseudo samples: the SAMPLES on which NBA brings the student's backdoor behavior out.

That NBA crafts samples which induce the student to show backdoor behavior is the paper's [abstract]; how they are
crafted is ours. A crafter turns a clean batch x into x~ by climbing a score that is high where the student
misbehaves: a few steps of sign-gradient ascent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from nba_cli.training import ascend


class Pseudo(Enum):
    """universal: one perturbation for the whole batch, as a trigger is. samplewise: one an image. patch: a sparse
    mask and a pattern. bank: universal ones kept over batches, one per presumed target class. mixed: a part of
    the batch universal, the rest patch. noise: a random perturbation of the same size, the control. none: the ablation.
    """

    universal = "universal"
    samplewise = "samplewise"
    patch = "patch"
    bank = "bank"
    mixed = "mixed"
    noise = "noise"
    none = "none"


class Score(Protocol):
    """What to climb."""

    def __call__(self, pseudo: Tensor, target: Tensor | None, rows: slice = ...) -> Tensor:
        """(x~ [N,C,H,W], presumed target class int64 [N] or None, which rows of the batch these are) -> scalar."""
        ...


@dataclass(frozen=True, kw_only=True)
class Craft:
    """What a crafter works with in one step.

    Fields:
        score: what to climb.
        eps: largest change of a pixel in L_inf, a scalar on the device of x.
        steps: ascent steps.
        area: share of the pixels that a patch may cover.
        patch_share: share of the batch that mixed gives to patch samples, below 1.
        generator: randomness, on the device of x.
    """

    score: Score
    eps: Tensor
    steps: int
    area: float
    patch_share: float
    generator: torch.Generator


class Crafter(Protocol):
    def __call__(self, x: Tensor, craft: Craft) -> Tensor | None:
        """x float [N,C,H,W] in [0,1] -> x~ of the same shape and range, without gradient; None: no pseudo samples."""
        ...


def symmetric_noise(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform in [-1,1]."""
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype) * 2 - 1


def ascended(x: Tensor, start: Tensor, craft: Craft, target: Tensor | None = None) -> Tensor:
    """delta of at most eps that climbs score(clip(x + delta)): [1,C,H,W] is universal, [N,C,H,W] samplewise."""
    return ascend(lambda delta: craft.score((x + delta).clamp(0, 1), target), start, craft.eps, craft.steps)


def universal(x: Tensor, craft: Craft) -> Tensor:
    start = craft.eps * symmetric_noise((1, *x.shape[1:]), x, craft.generator)
    return (x + ascended(x, start, craft)).clamp(0, 1)


def samplewise(x: Tensor, craft: Craft) -> Tensor:
    start = craft.eps * symmetric_noise(tuple(x.shape), x, craft.generator)
    return (x + ascended(x, start, craft)).clamp(0, 1)


def noise(x: Tensor, craft: Craft) -> Tensor:
    """A random corner of the same L_inf ball, one for the batch: what crafting has to beat."""
    return (x + craft.eps * symmetric_noise((1, *x.shape[1:]), x, craft.generator).sign()).clamp(0, 1)


def none(x: Tensor, craft: Craft) -> None:
    return None


def patch(x: Tensor, craft: Craft) -> Tensor:
    """x~ = (1 - m) x + m p: m covers the `area` of pixels where a common change matters most, p in [0,1] is climbed.

    The size of the change is bounded by the mask, not by eps.
    """
    start = torch.zeros_like(x[:1]).requires_grad_()
    (grad,) = torch.autograd.grad(craft.score(x + start, None), start)
    # neighbours count too: a trigger patch is connected, single salient pixels are not
    salience = F.avg_pool2d(grad.abs().sum(1, keepdim=True), 3, 1, 1, count_include_pad=False)
    covered = max(1, round(craft.area * salience.numel()))
    most = salience.flatten().topk(covered).indices
    mask = torch.zeros_like(salience).flatten().scatter(0, most, 1).view_as(salience)
    pattern = 0.5 + 0.5 * grad.sign()
    for _ in range(craft.steps):
        pattern.requires_grad_()
        (grad,) = torch.autograd.grad(craft.score((1 - mask) * x + mask * pattern, None), pattern)
        pattern = (pattern.detach() + grad.sign() / craft.steps).clamp(0, 1)
    return (1 - mask) * x + mask * pattern


class Bank:
    """Universal perturbations that live on from batch to batch, one per presumed target class.

    Each step draws a class, warm-starts from its perturbation and climbs towards that class.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.deltas: Tensor | None = None

    def __call__(self, x: Tensor, craft: Craft) -> Tensor:
        if self.deltas is None:
            self.deltas = craft.eps * symmetric_noise((self.num_classes, *x.shape[1:]), x, craft.generator)
        drawn = torch.randint(self.num_classes, (1,), generator=craft.generator, device=x.device)
        delta = ascended(x, self.deltas[drawn], craft, target=drawn.expand(len(x)))
        self.deltas[drawn] = delta
        return (x + delta).clamp(0, 1)


def mixed(x: Tensor, craft: Craft) -> Tensor:
    """Universal on the first part of the batch, patch on the rest.

    Triggers are faint and everywhere or strong and local, and the defender does not know which. Each part
    has at least two images, because batch norm needs two.
    """
    cut = len(x) - round(craft.patch_share * len(x))
    rows = [slice(cut), slice(cut, None)] if 2 <= cut <= len(x) - 2 else [slice(None)]
    parts = [replace(craft, score=partial(craft.score, rows=part)) for part in rows]
    return torch.cat([make(x[part], of) for make, part, of in zip((universal, patch), rows, parts, strict=False)])


CRAFTERS: dict[Pseudo, Callable[[int], Crafter]] = {
    Pseudo.universal: lambda num_classes: universal,
    Pseudo.samplewise: lambda num_classes: samplewise,
    Pseudo.patch: lambda num_classes: patch,
    Pseudo.bank: Bank,
    Pseudo.mixed: lambda num_classes: mixed,
    Pseudo.noise: lambda num_classes: noise,
    Pseudo.none: lambda num_classes: none,
}
"""Kind -> (number of classes -> crafter). Crafters with memory start empty."""

UNCRAFTED = {Pseudo.none: 0.0, Pseudo.noise: 1.0}
"""Backward passes of a step where nothing is climbed: to learn from the pseudo samples, if there are any."""

EXTRA: dict[Pseudo, Callable[[float], float]] = {Pseudo.patch: lambda share: 1.0, Pseudo.mixed: lambda share: share}
"""Backward passes of crafting beyond one per ascent step, by the share of patches."""


def passes(pseudo: Pseudo, steps: int, share: float, networks: int = 1) -> float:
    """Images passed backward per image of a batch, to learn from pseudo samples and to craft them by `steps` steps.

    `networks` are how many each of these steps passes: the student, and the teacher where its error counts, too.
    """
    if pseudo in UNCRAFTED:
        return UNCRAFTED[pseudo]
    return 1 + networks * (steps + EXTRA.get(pseudo, lambda share: 0.0)(share))
