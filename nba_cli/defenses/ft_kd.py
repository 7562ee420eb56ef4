"""Fine-tuning at a large rate that also distils all of the suspect's own answers: a control for NBA."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nba_cli import domains
from nba_cli.defenses._mixup import mixed_up, soft_labels
from nba_cli.defenses._teacher import frozen
from nba_cli.defenses.base import Evidence
from nba_cli.defenses.ft import FT
from nba_cli.defenses.nba.behavior import divergence
from nba_cli.training import Objective, Plan
from nba_cli.victims import Network


@dataclass(kw_only=True)
class FTKD(FT):
    """min_w CE(f_w(x), y) + kd tau^2 KL(f(x) || f_w(x)) over the clean set, f the suspect network in eval mode.

    Ours: all of it. A clipped gradient at a large rate forgets triggers, the suspect's own answers and mixup keep ACC.
    It is a control of NBA, which forgets first, takes no more from the suspect than the label's probability, and has
    pseudo samples: where the suspect's answers on clean images give the trigger away, as on the bundled images, the
    backdoor stays. Cost a step: two forward passes and one backward pass.

    Fields:
        kd: weight of the suspect's answers
        tau: softmax temperature of the answers
        mixup: share of the images that are blended with another of the batch, and so are their labels, in [0,1]
        train: how long and how hard to fine-tune
    """

    version: ClassVar[int] = 1

    kd: float = domains.within(4.0, "[0,inf)")
    tau: float = domains.within(2.0, "(0,inf)")
    mixup: float = domains.within(0.5, "[0,1]")
    train: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.2, clip=1.0, average=0.98))

    def goal(self, evidence: Evidence, generator: torch.Generator) -> Objective:
        return self.objective(frozen(evidence.model), generator)

    def objective(self, teacher: Network, generator: torch.Generator) -> Objective:
        """The loss of one batch, as `fit` wants it."""

        def loss(model: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            x, kept = mixed_up(x, self.mixup, generator)
            with torch.no_grad():
                answers = teacher(x)
            logits = model(x)
            y = soft_labels(y, kept, logits.shape[1])
            return F.cross_entropy(logits.float(), y) + self.kd * divergence(logits, answers, self.tau), logits

        return loss
