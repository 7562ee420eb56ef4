"""Fine-tuning on the clean set: the control beside every other method, with the schedule of the method it controls."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from nba_cli.defenses.base import Defense, Evidence
from nba_cli.training import Objective, Plan, Progress, Schedule, cross_entropy, fit, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class FT(Defense):
    """min_w CE(f_w(x), y) over the clean set, all layers.

    SGD 0.9, weight decay 5e-4 and a cosine schedule are usual. Ours: a rate of 0.05 for 200 steps. Cost: one forward
    and one backward pass a step.

    Fields:
        train: how long and how hard to fine-tune
    """

    version: ClassVar[int] = 2

    train: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.05, schedule=Schedule.cosine))

    def backward_images(self, clean: int) -> float:
        return self.train.images(clean)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        return fit(
            copy.deepcopy(evidence.model),
            evidence.clean,
            self.train,
            self.goal(evidence, generator),
            phase="fine-tune",
            option="defense.train",
            compiling=evidence.compiling,
            **evidence.training(generator, progress),
        )

    def goal(self, evidence: Evidence, generator: torch.Generator) -> Objective:
        """What is minimised."""
        return cross_entropy


@dataclass(kw_only=True)
class FTNAD(FT):
    """Fine-tuning with the schedule of NAD's student (its batch and weight decay, not its Cutout): the control of nad.

    Fields:
        train: how long and how hard to fine-tune
    """

    version: ClassVar[int] = 1

    train: Plan = field(
        default_factory=lambda: Plan(epochs=20, batch=64, lr=0.1, schedule=Schedule.drop, drops=[0.1], decay=1e-4)
    )


@dataclass(kw_only=True)
class FTNBA(FT):
    """Fine-tuning at the rate of NBA's teacher, for as many backward passes as all of NBA makes: its control.

    Fields:
        train: how long and how hard to fine-tune
    """

    version: ClassVar[int] = 2

    train: Plan = field(default_factory=lambda: Plan(steps=800, lr=0.2, clip=1.0, average=0.98))
