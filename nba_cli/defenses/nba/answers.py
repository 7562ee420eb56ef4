"""The soft targets that NBA's student distils on clean images. All of it is ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from nba_cli.defenses.nba.behavior import decoupled
from nba_cli.victims import Network


class Answers(Enum):
    """teacher: the teacher's class probabilities. decoupled: the label's probability comes from the suspect network,
    the teacher divides the remainder among the other classes.
    """

    teacher = "teacher"
    decoupled = "decoupled"


Reader = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Images [N,C,H,W] in [0,1], labels as probabilities [N,K], the teacher's logits on them [N,K] -> logits [N,K]."""


@dataclass(frozen=True, kw_only=True)
class Decoupled:
    """Reads the suspect network on another view of each image, augmented once more, and for its label alone.

    What it says of the other classes tells a student how near an image comes to the trigger. So does, less, what it
    says of the very pixels that the student sees: the other view is the same one if the data set has no augmentation.
    """

    suspect: Network
    augment: Callable[[Tensor, torch.Generator], Tensor]
    generator: torch.Generator
    tau: float

    def __call__(self, x: Tensor, y: Tensor, teacher_logits: Tensor) -> Tensor:
        view = self.augment((255 * x).round().to(torch.uint8), self.generator)
        return decoupled(self.suspect(view), teacher_logits, y > 0, self.tau)


def of_teacher(x: Tensor, y: Tensor, teacher_logits: Tensor) -> Tensor:
    return teacher_logits
