"""FT-SAM: sharpness-aware fine-tuning (Zhu, Wei, Shen, Fan & Wu, ICCV 2023, arXiv:2304.11823)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from nba_cli import domains
from nba_cli.defenses._batch_norm import frozen_statistics
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.training import Plan, Progress, Schedule, fit, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class FTSAM(Defense):
    """min_w max_{|T^-1 e| <= rho} CE(f_{w+e}(x), y) over the clean set, T = |w| (adaptive, Kwon et al. 2021).

    The inner maximum is e = rho T^2 g / |T g| with g the gradient at w. Large weights, in which a backdoor lives, are
    perturbed most, and shrink. Cost a step: two forward and two backward passes.

    Peak rate and epochs are those of the authors' code. Ours: label smoothing as PyTorch has it, which gives the true
    class a share, too (their 0.1 goes to the other classes); batches of 128 (theirs 256), so twice the steps; one
    cosine down to 0 over the whole training (theirs, stepped per batch, falls and rises again every 200 steps and ends
    at its peak); Nesterov momentum. On development victims batches of 256 at a constant rate ended lower
    (results/selection). Their settings for GTSRB name a rho of 8 and no smoothing.

    Fields:
        rho: radius of the perturbation, above 0
        smoothing: label smoothing, in [0,1)
        train: how long and how hard to fine-tune
    """

    version: ClassVar[int] = 3

    rho: float = domains.within(2.0, "(0,inf)")
    smoothing: float = domains.within(0.1, "[0,1)")
    train: Plan = field(default_factory=lambda: Plan(epochs=100, lr=0.01, schedule=Schedule.cosine))

    def backward_images(self, clean: int) -> float:
        return 2 * self.train.images(clean)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        return fit(
            copy.deepcopy(evidence.model),
            evidence.clean,
            self.train,
            self.objective,
            phase="ft-sam",
            option="defense.train",
            **evidence.training(generator, progress),
        )

    def objective(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The loss at w + e; its gradient in w is that at w + e, because e is a constant."""
        named = {name: value for name, value in model.named_parameters() if value.requires_grad}
        logits = model(x).float()
        smooth = partial(F.cross_entropy, target=y, label_smoothing=self.smoothing)
        grads = torch.autograd.grad(smooth(logits, reduction="sum"), list(named.values()))
        steps = ascent(list(named.values()), list(grads), self.rho)
        moved = {name: value + step for (name, value), step in zip(named.items(), steps, strict=True)}
        with frozen_statistics(model):  # the second pass leaves the running statistics alone
            loss = smooth(functional_call(model, moved, (x,)).float())
        return loss, logits.detach()


def ascent(weights: Sequence[Tensor], grads: Sequence[Tensor], rho: float) -> list[Tensor]:
    """e = rho T^2 g / |T g| with T = |w|, over all tensors together, so that |T^-1 e| = rho. Without gradient."""
    scaled = [weight.detach().abs() * grad for weight, grad in zip(weights, grads, strict=True)]
    norm = torch.stack([part.square().sum() for part in scaled]).sum().sqrt().clamp_min(1e-12)
    return [rho * weight.detach().abs() * part / norm for weight, part in zip(weights, scaled, strict=True)]
