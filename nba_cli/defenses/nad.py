"""NAD: neural attention distillation (Li, Lyu, Koren, Lyu, Li & Ma, ICLR 2021, arXiv:2101.05930)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nba_cli.defenses.base import Defense, Evidence
from nba_cli.defenses.nba.behavior import attention
from nba_cli.errors import Refused
from nba_cli.plan import Plan, Schedule
from nba_cli.train import Report, fit, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class NAD(Defense):
    """min_S CE(S(x), y) + sum_l b_l |A_l(S) - A_l(T)|^2, with attention maps A_l = sum_c F_lc^2 of unit norm per
    sample.

    Teacher T: the suspect model fine-tuned on the clean set, then frozen. The sum runs over the last stages of the
    network. Li et al. average the square over the H W positions of a map, so that their weights (500, 1000, 1000 for
    maps of 32, 16 and 8 pixels) hang on its size; here it is summed, and the same weights read 0.5, 4 and 16. Cost a
    step: one teacher pass forward, one student pass forward and backward.

    The learning rate was chosen on a development victim (CIFAR-10, WRN-16-1, badnets, seed 100): 0.05 left ASR 64, 0.01
    left it at 100.

    Fields:
        weights: b_l of the last stages, deepest last
        teacher: how long and how hard to fine-tune the teacher
        student: how long and how hard to distil the student
    """

    version: ClassVar[int] = 2

    weights: list[float] = field(default_factory=lambda: [0.5, 4.0, 16.0])
    teacher: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.05, schedule=Schedule.cosine))
    student: Plan = field(default_factory=lambda: Plan(steps=400, lr=0.05, schedule=Schedule.cosine))

    def __post_init__(self) -> None:
        if not self.weights or min(self.weights) < 0:
            raise Refused(f"defense.weights={self.weights}: one weight or more, each 0 or more.")

    def __call__(self, evidence: Evidence, generator: torch.Generator, report: Report = silent) -> Network:
        common = evidence.training(generator, report)
        teacher = fit(copy.deepcopy(evidence.model), evidence.clean, self.teacher, phase="teacher", **common)
        teacher.eval().requires_grad_(False)

        def objective(student: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                taught, _ = teacher.features(x)
            stages, logits = student.features(x)
            loss = F.cross_entropy(logits.float(), y) + attention_distance(stages, taught, self.weights)
            return loss, logits

        return fit(copy.deepcopy(evidence.model), evidence.clean, self.student, objective, phase="student", **common)


def attention_distance(student: list[Tensor], teacher: list[Tensor], weights: list[float]) -> Tensor:
    """sum_l b_l |A_l(S) - A_l(T)|^2 over the last stages, mean over samples: a scalar."""
    count = min(len(weights), len(student))
    pairs = zip(weights[-count:], attention(student[-count:]), attention(teacher[-count:]), strict=True)
    return torch.stack([weight * (a - b).square().sum(1).mean() for weight, a, b in pairs]).sum()
