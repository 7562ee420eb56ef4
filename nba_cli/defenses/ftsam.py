"""FT-SAM: sharpness-aware fine-tuning (Zhu, Wei, Shen, Fan & Wu, ICCV 2023, arXiv:2304.11823)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from nba_cli.defenses.base import Defense, Evidence
from nba_cli.defenses.nba.pseudo import still
from nba_cli.errors import Refused
from nba_cli.plan import Plan, Schedule
from nba_cli.train import Report, fit, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class FTSAM(Defense):
    """min_w max_{|T^-1 e| <= rho} CE(f_{w+e}(x), y) over the clean set, T = |w| (adaptive, Kwon et al. 2021).

    The inner maximum is e = rho T^2 g / |T g| with g the gradient at w. Large weights, in which a backdoor lives, are
    perturbed most, and shrink. Cost a step: two forward and two backward passes.

    The learning rate was chosen on a development victim (CIFAR-10, WRN-16-1, badnets, seed 100): 0.05 left ASR 14, 0.01
    left 74.

    Fields:
        rho: radius of the perturbation, above 0
        train: how long and how hard to fine-tune
    """

    version: ClassVar[int] = 2

    rho: float = 2.0
    train: Plan = field(default_factory=lambda: Plan(steps=400, lr=0.05, schedule=Schedule.cosine))

    def __post_init__(self) -> None:
        if self.rho <= 0:
            raise Refused(f"defense.rho={self.rho}: a radius is above 0.")

    def __call__(self, evidence: Evidence, generator: torch.Generator, report: Report = silent) -> Network:
        return fit(
            copy.deepcopy(evidence.model),
            evidence.clean,
            self.train,
            self.objective,
            phase="ft-sam",
            **evidence.training(generator, report),
        )

    def objective(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The loss at w + e; its gradient in w is that at w + e, because e is a constant."""
        named = {name: value for name, value in model.named_parameters() if value.requires_grad}
        logits = model(x).float()
        slopes = torch.autograd.grad(F.cross_entropy(logits, y, reduction="sum"), list(named.values()))
        steps = ascent(list(named.values()), list(slopes), self.rho)
        moved = {name: value + step for (name, value), step in zip(named.items(), steps, strict=True)}
        with still(model):  # the second pass leaves the running statistics alone
            loss = F.cross_entropy(functional_call(model, moved, (x,)).float(), y)
        return loss, logits.detach()


def ascent(weights: Sequence[Tensor], slopes: Sequence[Tensor], rho: float) -> list[Tensor]:
    """e = rho T^2 g / |T g| with T = |w|, over all tensors together, so that |T^-1 e| = rho. Without gradient."""
    scaled = [weight.detach().abs() * slope for weight, slope in zip(weights, slopes, strict=True)]
    norm = torch.stack([part.square().sum() for part in scaled]).sum().sqrt().clamp_min(1e-12)
    return [rho * weight.detach().abs() * part / norm for weight, part in zip(weights, scaled, strict=True)]
