"""Whose class probabilities NBA's student distils on clean images. All of it is ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from nba_cli.defenses.nba.behavior import decoupled
from nba_cli.victims import Network


class Answers(Enum):
    """teacher: its own. decoupled: of the label the suspect network's, of the other classes the teacher's."""

    teacher = "teacher"
    decoupled = "decoupled"


Reader = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Images [N,C,H,W] in [0,1], labels as probabilities [N,K], the teacher's logits on them [N,K] -> logits [N,K]."""


@dataclass(frozen=True, kw_only=True)
class Decoupled:
    """The suspect network says how sure it is of the label, and on another view of the image: augmented once more.

    What it says of the other classes would tell the student how near an image comes to the trigger, and so would what
    it says of the very pixels that the student sees.
    """

    suspect: Network
    augment: Callable[[Tensor, torch.Generator], Tensor]
    generator: torch.Generator
    tau: float

    def __call__(self, x: Tensor, y: Tensor, taught: Tensor) -> Tensor:
        view = self.augment((255 * x).round().to(torch.uint8), self.generator)
        return decoupled(self.suspect(view), taught, y > 0, self.tau)


def of_teacher(x: Tensor, y: Tensor, taught: Tensor) -> Tensor:
    return taught
