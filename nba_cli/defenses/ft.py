"""Fine-tuning on the clean set: the control beside every distillation method."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch

from nba_cli.defenses.base import Defense, Evidence
from nba_cli.plan import Plan, Schedule
from nba_cli.train import Report, fit, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class FT(Defense):
    """min_w CE(f_w(x), y) over the clean set, all layers.

    The common baseline; lr 0.01, SGD 0.9, weight decay 5e-4 and a cosine schedule are its usual values. Cost: one
    forward and one backward pass a step.

    Fields:
        train: how long and how hard to fine-tune
    """

    train: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.01, schedule=Schedule.cosine))

    def __call__(self, evidence: Evidence, generator: torch.Generator, report: Report = silent) -> Network:
        return fit(
            copy.deepcopy(evidence.model),
            evidence.clean,
            self.train,
            phase="fine-tune",
            **evidence.training(generator, report),
        )
