"""NAD: neural attention distillation (Li, Lyu, Koren, Lyu, Li & Ma, ICLR 2021, arXiv:2101.05930)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nba_cli import domains
from nba_cli.defenses._attention import attention_distance
from nba_cli.defenses._cutout import with_cutout
from nba_cli.defenses._teacher import fine_tuned
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.errors import Refused
from nba_cli.training import Objective, Plan, Progress, Schedule, fit, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class NAD(Defense):
    """min_S CE(S(x), y) + sum_l b_l |A_l(S) - A_l(T)|^2

    A_l = sum_c F_lc^2 are attention maps, of unit norm per sample.

    Teacher T: the suspect model fine-tuned on the clean set, then frozen. The sum runs over the last stages of the
    network. Li et al. average the square over the H W positions of a map, so that their weights (500, 1000, 1000 for
    maps of 32, 16 and 8 pixels) depend on its size; here it is summed, and the same weights become 0.5, 4 and 16.
    Cost a step: one teacher pass forward, one student pass forward and backward.

    As in the authors' code: batches of 64, weight decay 1e-4, a rate of 0.1 for two of twenty epochs and then 0.01,
    and a square blacked out in every image, for the student as for the teacher. Ours: a full square of
    `cutout` pixels (theirs of 3 covers 2x2), and the teacher trains for twenty epochs, too (theirs for five to ten).
    Their victims were trained at a constant 0.1; one whose training ended at a rate of 0, such as ours, loses more ACC.

    Fields:
        weights: b_l of the last stages, deepest last
        cutout: side in pixels of the square that is blacked out in each image; 0: none
        teacher: how long and how hard to fine-tune the teacher
        student: how long and how hard to distil the student
    """

    version: ClassVar[int] = 3

    weights: list[float] = domains.within([0.5, 4.0, 16.0], "[0,inf)")
    cutout: int = domains.within(3, "[0,4096]")
    teacher: Plan = field(
        default_factory=lambda: Plan(epochs=20, batch=64, lr=0.1, schedule=Schedule.drop, drops=[0.1], decay=1e-4)
    )
    student: Plan = field(
        default_factory=lambda: Plan(epochs=20, batch=64, lr=0.1, schedule=Schedule.drop, drops=[0.1], decay=1e-4)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weights:
            raise Refused(f"defense.weights={self.weights}: one weight or more.")

    def backward_images(self, clean: int) -> float:
        return self.teacher.images(clean) + self.student.images(clean)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        common = evidence.training(generator, progress)
        common["augment"] = with_cutout(common["augment"], self.cutout)
        teacher = fine_tuned(evidence, self.teacher, common)
        return fit(
            copy.deepcopy(evidence.model),
            evidence.clean,
            self.student,
            self.objective(teacher),
            phase="student",
            option="defense.student",
            compiling=evidence.compiling,
            **common,
        )

    def objective(self, teacher: Network) -> Objective:
        """CE + sum_l b_l |A_l(S) - A_l(T)|^2 of a student on a batch."""

        def loss(student: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                taught, _ = teacher.features(x)
            stages, logits = student.features(x)
            return F.cross_entropy(logits.float(), y) + attention_distance(stages, taught, self.weights), logits

        return loss
