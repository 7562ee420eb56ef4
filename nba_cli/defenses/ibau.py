"""I-BAU: adversarial unlearning by an implicit hypergradient (Zeng, Chen, Park, Mao, Jin & Jia, ICLR 2022,
arXiv:2110.03735)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from nba_cli import devices, domains
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.training import Optimizer, Plan, Progress, Schedule, fit, silent
from nba_cli.victims import Network

Inner = Callable[[Tensor], Tensor]
"""delta -> scalar, differentiable in delta and in the weights."""


@dataclass(kw_only=True)
class IBAU(Defense):
    """min_w CE(f_w(x + d*), y) with d* = argmax_d CE(f_w(x + d), y) - decay |d|^2

    d is ONE perturbation for the whole batch, as a trigger is. As in the authors' code, a portion of the batch carries
    d*, the other images stay clean. Ours: d climbs the loss of the true labels (theirs of the model's own predictions).

    The weights follow the hypergradient, which knows that d* moves with w:

        dL/dw + (d Phi / dw)^T v
        v      = sum_{k<K} ((d Phi / dd)^T)^k dL/dd
        Phi(d) = d + step grad_d (CE - decay |d|^2)

    where the sum is K steps of the fixed-point iteration v <- (d Phi / dd)^T v + dL/dd from v = 0. Ours: d* is found
    anew in each step, from zero, by gradient ascent in steps of fixed length on the whole batch, while Phi is
    estimated on the images that carry it. So |d*| is `inner` times `size` at most; theirs is found on the whole
    clean set, at a rate of 10 without a bound, and serves for a round. Their images are not augmented; ours are.
    Cost a step: inner + 1 passes forward and backward; on the portion 2 more, and K products with second
    derivatives, each about two passes.

    Size, step, portion, length and rate were chosen on a development victim (CIFAR-10, WRN-16-1, badnets, seed 100)
    that appears in no table. The authors' step of 0.1 with 1 % of the images removed little there; that step with
    portion = 1 destroyed other victims: where the loss still curves upwards in d, v grows with each iteration.

    Fields:
        inner: ascent steps that find d*
        size: length of an ascent step, L2
        decay: weight of |d|^2
        step: step of Phi; the fixed point needs it below 2 over the largest curvature
        iterations: K
        portion: share of a batch that carries d*, in (0,1]; one image at least
        train: how long and how hard to train
    """

    version: ClassVar[int] = 4

    inner: int = domains.within(5, "[1,inf)")
    size: float = domains.within(2.0, "(0,inf)")
    decay: float = domains.within(0.001, "[0,inf)")
    step: float = domains.within(0.01, "(0,inf)")
    iterations: int = domains.within(5, "[1,inf)")
    portion: float = domains.within(0.25, "(0,1]")
    train: Plan = field(
        default_factory=lambda: Plan(
            steps=200, lr=3e-4, optimizer=Optimizer.adam, schedule=Schedule.constant, decay=0.0
        )
    )

    def backward_images(self, clean: int) -> float:
        return (self.inner + 1 + self.portion * (2 + self.iterations)) * self.train.images(clean)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        # second derivatives of convolutions are slow in channels_last
        model = copy.deepcopy(evidence.model).to(memory_format=torch.contiguous_format)
        common = evidence.training(generator, progress)
        fit(model, evidence.clean, self.train, self.objective, phase="i-bau", **common)
        return model.to(memory_format=torch.channels_last)

    def objective(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The mean CE of a batch whose first images carry d*. Its gradient is the hypergradient."""
        training = model.training
        model.eval()  # as the authors do: batch statistics would tie the samples of a batch together
        x = x.contiguous()
        weights = [value for value in model.parameters() if value.requires_grad]
        carry = max(1, round(self.portion * len(x)))  # the order of images is random already

        def outer(delta: Tensor, count: int = carry) -> Tensor:
            return F.cross_entropy(model(x[:count] + delta).float(), y[:count])

        def inner(delta: Tensor, count: int = carry) -> Tensor:
            return outer(delta, count) - self.decay * delta.square().sum()

        delta = self.climb(lambda delta: inner(delta, len(x)), torch.zeros_like(x[:1]))
        logits = model(x).float()
        clean = F.cross_entropy(logits[carry:], y[carry:], reduction="sum")
        # second derivatives want fp32, and fused attention has none
        with devices.exact(x.device), sdpa_kernel(SDPBackend.MATH):
            loss, slopes = hypergradient(outer, inner, delta, weights, self.step, self.iterations)
        model.train(training)
        # d/dw of this sum is `slopes`; what is added and taken away again makes its value the loss
        carrier = torch.stack([(slope * value).sum() for slope, value in zip(slopes, weights, strict=True)]).sum()
        return (clean + carry * (carrier - carrier.detach() + loss.detach())) / len(x), logits

    def climb(self, inner: Inner, delta: Tensor) -> Tensor:
        """Gradient ascent on `inner` in steps of L2 length `size`."""
        for _ in range(self.inner):
            delta = delta.detach().requires_grad_()
            (slope,) = torch.autograd.grad(inner(delta), delta)
            delta = delta.detach() + self.size * slope / slope.norm().clamp_min(1e-12)
        return delta


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
    (slope,) = torch.autograd.grad(inner(delta), delta, create_graph=True)
    phi = delta + step * slope
    v = wish
    for _ in range(iterations - 1):
        (moved,) = torch.autograd.grad(phi, delta, v, retain_graph=True)
        v = moved + wish
    through = torch.autograd.grad(phi, weights, v, allow_unused=True)
    total = []
    for weight, one, two in zip(weights, direct, through, strict=True):
        total.append(sum((part for part in (one, two) if part is not None), torch.zeros_like(weight)).detach())
    return loss, total
