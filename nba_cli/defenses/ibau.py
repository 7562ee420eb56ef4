"""I-BAU: adversarial unlearning by an implicit hypergradient (Zeng, Chen, Park, Mao, Jin & Jia, ICLR 2022,
arXiv:2110.03735)."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from nba_cli import devices, domains
from nba_cli.data import Data, to_float
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.modes import in_mode
from nba_cli.training import Optimizer, Plan, Progress, Schedule, fit, silent
from nba_cli.victims import Network

Inner = Callable[[Tensor], Tensor]
"""delta -> scalar, differentiable in delta and in the weights."""


@dataclass(kw_only=True)
class IBAU(Defense):
    """min_w CE(f_w(x + d*), y) with d* = argmax_d CE(f_w(x + d), y) - decay |d|^2

    d is ONE perturbation for the whole batch, as a trigger is. As in the authors' code, a portion of the batch carries
    d*, the other images stay clean.

    The weights follow the hypergradient, which knows that d* moves with w:

        dL/dw + (d Phi / dw)^T v
        v      = sum_{k<K} ((d Phi / dd)^T)^k dL/dd
        Phi(d) = d + step grad_d (CE - decay |d|^2)

    where the sum is K steps of the fixed-point iteration v <- (d Phi / dd)^T v + dL/dd from v = 0.

    d* is found once an epoch by one pass over the clean set, which climbs the loss of the model's own predictions from
    zero at a rate of `rate`. The defaults are those of the authors' defense.py: at most five rounds there, and no bound
    on d*; their README runs three, their notebooks one, with d* in a ball of L2 radius 10 (`bound`).

    Ours: Phi is estimated on the batch of each step (theirs: on the first one of the set, always); the images of a step
    are augmented (theirs not); batches are drawn anew each round (theirs stay); at least one image of a batch carries
    d* (theirs: none of a batch that is too small). d* is in units of [0,1], and our networks normalise what they get
    (theirs do not). Cost of a step: for the search, its share of two passes forward and one backward, of which a begun
    epoch pays all; one for the loss; one for the images that carry d*; and for Phi one, and K products with second
    derivatives, each about two passes.

    Fields:
        rate: what the gradient is multiplied by in an ascent step
        bound: largest |d*|, L2 over its pixels in units of [0,1]; null: none
        decay: weight of |d|^2
        step: step of Phi; the fixed point needs it below 2 over the largest curvature
        iterations: K
        portion: share of a batch that carries d*, in (0,1]; one image at least
        train: how long and how hard to train
    """

    version: ClassVar[int] = 5

    rate: float = domains.within(10.0, "(0,inf)")
    bound: float | None = domains.within(None, "(0,inf)")
    decay: float = domains.within(0.001, "[0,inf)")
    step: float = domains.within(0.1, "(0,inf)")
    iterations: int = domains.within(5, "[1,inf)")
    portion: float = domains.within(0.01, "(0,1]")
    train: Plan = field(
        default_factory=lambda: Plan(
            epochs=5, batch=100, lr=1e-3, optimizer=Optimizer.adam, schedule=Schedule.constant, decay=0.0
        )
    )

    def backward_images(self, clean: int) -> float:
        return (3 + self.portion + self.iterations) * self.train.images(clean)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        # second derivatives of convolutions are slow in channels_last
        model = copy.deepcopy(evidence.model).to(memory_format=torch.contiguous_format)
        common = evidence.training(generator, progress)
        objective = partial(self.objective, deltas=self.found_on(evidence.clean, model, generator))
        fit(model, evidence.clean, self.train, objective, phase="i-bau", option="defense.train", **common)
        return model.to(memory_format=torch.channels_last)

    def objective(self, model: nn.Module, x: Tensor, y: Tensor, deltas: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean CE of a batch whose first images carry the next d* of `deltas`; its gradient is the hypergradient."""
        x = x.contiguous()
        weights = [value for value in model.parameters() if value.requires_grad]
        carry = max(1, round(self.portion * len(x)))  # the order of images is random already

        def outer(delta: Tensor) -> Tensor:
            return F.cross_entropy(model(x[:carry] + delta).float(), y[:carry])

        def inner(delta: Tensor) -> Tensor:
            return F.cross_entropy(model(x + delta).float(), y) - self.decay * delta.square().sum()

        with in_mode(model, training=False):  # as theirs: batch statistics would tie the samples of a batch together
            logits = model(x).float()
            clean = F.cross_entropy(logits[carry:], y[carry:], reduction="sum")
            # second derivatives want fp32, and fused attention has none; d* is searched in fp32, too, as theirs is
            with devices.exact(x.device), sdpa_kernel(SDPBackend.MATH):
                loss, grads = hypergradient(outer, inner, next(deltas), weights, self.step, self.iterations)
        # d/dw of this sum is `grads`; what is added and taken away again makes its value the loss
        carrier = torch.stack([(grad * value).sum() for grad, value in zip(grads, weights, strict=True)]).sum()
        return (clean + carry * (carrier - carrier.detach() + loss.detach())) / len(x), logits

    def found_on(self, clean: Data, model: nn.Module, generator: torch.Generator) -> Iterator[Tensor]:
        """d* for each step: the same one through an epoch, at whose beginning `model`, in eval mode, is asked."""
        device = next(model.parameters()).device
        while True:
            delta = torch.zeros_like(clean.images[:1], dtype=torch.float32, device=device)
            order = torch.randperm(len(clean), generator=generator, device=device)  # a folder's are sorted by class
            for part in order.split(self.train.batch):
                x = to_float(clean.batch(part, device)[0]).contiguous()
                with devices.no_grad():
                    said = model(x).argmax(1)
                delta = delta.detach().requires_grad_()
                error = F.cross_entropy(model(x + delta).float(), said, reduction="sum")
                (grad,) = torch.autograd.grad(error, delta)
                delta = delta.detach() + self.rate * (grad / len(x) - 2 * self.decay * delta.detach())
            if self.bound is not None:
                delta = delta * (self.bound / delta.norm().clamp_min(self.bound))
            yield from itertools.repeat(delta, self.train.steps_per_epoch(len(clean)))


def hypergradient(
    outer: Inner, inner: Inner, delta: Tensor, weights: Sequence[Tensor], step: float, iterations: int
) -> tuple[Tensor, list[Tensor]]:
    """The outer loss at `delta`, and its total derivative in `weights` when delta maximises `inner`.

    Phi(d) = d + step grad inner(d); the implicit function theorem at its fixed point, with (I - dPhi/dd)^-T applied by
    `iterations` steps of v <- (dPhi/dd)^T v + dL/dd from v = 0, as the authors: the first one gives dL/dd itself.
    """
    delta = delta.detach().requires_grad_()
    loss = outer(delta)
    wish, *direct = torch.autograd.grad(loss, [delta, *weights], allow_unused=True)
    (grad,) = torch.autograd.grad(inner(delta), delta, create_graph=True)
    phi = delta + step * grad
    v = wish
    for _ in range(iterations - 1):
        (moved,) = torch.autograd.grad(phi, delta, v, retain_graph=True)
        v = moved + wish
    through = torch.autograd.grad(phi, weights, v, allow_unused=True)
    total = []
    for weight, one, two in zip(weights, direct, through, strict=True):
        total.append(sum((part for part in (one, two) if part is not None), torch.zeros_like(weight)).detach())
    return loss, total
