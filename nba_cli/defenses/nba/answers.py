"""The soft targets that NBA's student distils on clean images. All of it is ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor

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


def decoupled(suspect: Tensor, teacher: Tensor, is_label: Tensor, tau: float) -> Tensor:
    """Logits [N,K] of soft targets that come from two networks, given the logits of both.

    The classes in `is_label` bool [N,K] keep the probability that softmax(suspect / tau) gives them. The remainder is
    divided among the other classes in the proportions of softmax(teacher / tau). To split a soft target into the label
    and the other classes is due to Zhao et al., "Decoupled knowledge distillation" (CVPR 2022, eq. 3 to 7); a network
    for each of the two is ours.
    """
    log_s, log_t = (F.log_softmax(logits.float() / tau, dim=1) for logits in (suspect, teacher))
    rest_s, rest_t = (logs.masked_fill(is_label, -torch.inf).logsumexp(1, keepdim=True) for logs in (log_s, log_t))
    return tau * torch.where(is_label, log_s, log_t + rest_s - rest_t)


def of_teacher(x: Tensor, y: Tensor, teacher_logits: Tensor) -> Tensor:
    return teacher_logits
