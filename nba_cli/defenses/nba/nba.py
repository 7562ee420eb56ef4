"""NBA: Neural Behavioral Alignment, as reconstructed from what is public of the paper.

Ying & Wu, "NBA: defensive distillation for backdoor removal via neural behavior alignment", Cybersecurity 6:20 (2023),
arXiv:2406.10846. Every part is marked: [abstract] known from the paper's abstract, [summary] from a short third-party
summary, [ours] our reconstruction.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nba_cli import domains
from nba_cli.defenses._batch_norm import frozen_statistics
from nba_cli.defenses._mixup import mixed_up, soft_labels
from nba_cli.defenses._teacher import Source, fine_tuned, frozen
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.defenses.nba.behavior import Form, behave, distance, divergence
from nba_cli.defenses.nba.pseudo import CRAFTERS, Craft, Crafter, Pseudo, passes
from nba_cli.errors import Refused
from nba_cli.training import Objective, Plan, Progress, fit, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class NBA(Defense):
    """Distillation that aligns the student's backdoor behavior with the teacher's benign behavior [abstract].

    Teacher T: the suspect network fine-tuned on the clean set [summary] or as it is [ours], frozen. Student S: starts
    as the suspect network [ours]. Per step, on a clean batch x with labels y, a share of its images mixed up with
    others [ours], and on pseudo samples x~ crafted from it [abstract]:

        LDL = CE(S(x), y) + alpha d(B_S(x), B_T(x)) + kd tau^2 KL(T(x) || S(x))               [summary; weights ours]
        x~  = crafted to climb CE(S(x~), y) + mu d(B_S(x~), B_T(x)) - resist CE(T(x~), y)     [ours]
        UDL = beta d(B_S(x~), B_T(x)) + gamma tau^2 KL(T(x) || S(x~))                         [abstract; formula ours]

    B_T is read on the CLEAN image in UDL: benign even where the teacher still knows the trigger. The two KL terms are
    the `prediction` form of behavior; they vanish when it is not in `behavior`.

    Cost a step: one teacher pass forward; student passes forward and backward: 1 without pseudo samples, 2 with noise,
    else 2 + craft_steps, one more for a patch, `patch_share` more for mixed.

    The defaults were chosen on two development victims (CIFAR-10, WRN-16-1, badnets and blend, seed 100) that appear in
    no table: universal and patch samples together because universal ones alone left the patch trigger, a gentle teacher
    and a clipped gradient because they cost least ACC.

    Another form does better on CIFAR-10: source=suspect, alpha=0, kd=4, beta=gamma=0.5, mixup=0.5, universal samples, a
    student of 200 steps at a rate of 0.2. On the mean of a blend and a sig victim of seed 100 (images that they were
    not trained on, results/selection): ACC 85.6, ASR 1.0, RA 75.0; with noise as pseudo samples 86.0, 1.8 and 73.7;
    without any (ft_kd) 85.7, 1.7 and 71.5. It is no default because it leaves the backdoor of the bundled demo (ASR
    99.7). What keeps that backdoor are the suspect's own answers: ft_kd without them (kd=0, mixup=0) leaves ASR 1.1
    there, and costs 2.3 points of ACC on the two victims of CIFAR-10 (83.4, 0.5 and 67.5).

    Fields:
        behavior: the forms of knowledge, a list of response, learning, prediction, attention, feature, similarity
        pseudo: the kind of pseudo samples: universal, samplewise, patch, bank, mixed, noise or none
        alpha: weight of the behavior distance on clean images
        kd: weight of the prediction term on clean images
        beta: weight of the behavior distance on pseudo samples
        gamma: weight of the prediction term on pseudo samples
        tau: softmax temperature of the prediction terms
        mixup: share of the images that are blended with another of the batch, and so are their labels, in [0,1]
        eps: largest change of a pixel of a pseudo sample, L_inf in [0,1]
        eps_low: when below eps, each batch draws its size uniformly in [eps_low, eps]
        craft_steps: ascent steps that craft a pseudo sample
        area: share of the pixels that a patch may cover
        patch_share: share of a batch that mixed gives to patch samples, in [0,1)
        mu: weight of the behavior distance in crafting
        resist: weight of the teacher's own error in crafting; above 0 looks for what fools the student alone
        source: who teaches: suspect, or tuned
        teacher: how long and how hard to fine-tune a tuned teacher; without effect if the suspect teaches
        student: how long and how hard to distil the student
    """

    version: ClassVar[int] = 2

    behavior: list[Form] = field(default_factory=lambda: [Form.response, Form.learning, Form.prediction])
    pseudo: Pseudo = Pseudo.mixed
    alpha: float = domains.within(1.0, "[0,inf)")
    kd: float = domains.within(1.0, "[0,inf)")
    beta: float = domains.within(2.0, "[0,inf)")
    gamma: float = domains.within(2.0, "[0,inf)")
    tau: float = domains.within(2.0, "(0,inf)")
    mixup: float = domains.within(0.0, "[0,1]")
    eps: float = domains.within(0.03, "[0,1]")
    eps_low: float = domains.within(0.03, "[0,1]")
    craft_steps: int = domains.within(3, "[1,inf)")
    area: float = domains.within(0.02, "(0,1]")
    patch_share: float = domains.within(0.25, "[0,1)")
    mu: float = domains.within(0.0, "[0,inf)")
    resist: float = domains.within(0.0, "[0,inf)")
    source: Source = Source.tuned
    teacher: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.01, average=0.98))
    student: Plan = field(default_factory=lambda: Plan(steps=250, lr=0.02, clip=1.0, average=0.98))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eps_low > self.eps:
            raise Refused(f"defense.eps_low={self.eps_low}, defense.eps={self.eps}: eps_low must be at most eps.")

    def backward_images(self, clean: int) -> float:
        each = 1 + passes(self.pseudo, self.craft_steps, self.patch_share)
        tuned = self.teacher.images(clean) if self.source is Source.tuned else 0
        return tuned + each * self.student.images(clean)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        common = evidence.training(generator, progress)
        tuned = self.source is Source.tuned
        teacher = fine_tuned(evidence, self.teacher, common) if tuned else frozen(evidence.model)
        objective = self.objective(teacher, CRAFTERS[self.pseudo](evidence.num_classes), generator)
        return fit(
            copy.deepcopy(evidence.model),
            evidence.clean,
            self.student,
            objective,
            phase="student",
            compiling=evidence.compiling,
            **common,
        )

    def objective(self, teacher: Network, crafter: Crafter, generator: torch.Generator) -> Objective:
        """LDL + UDL of one batch, as `fit` wants it."""

        def loss(student: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            x, kept = mixed_up(x, self.mixup, generator)
            with torch.no_grad():
                taught, answers = teacher.features(x)
                benign = behave(taught, self.behavior)
            stages, logits = student.features(x)
            y = soft_labels(y, kept, logits.shape[1])
            total = F.cross_entropy(logits.float(), y)
            total = total + self.align(stages, logits, benign, answers, self.alpha, self.kd)
            with frozen_statistics(student):
                pseudo = self.craft(student, teacher, crafter, x, y, taught, generator)
                if pseudo is not None:
                    stages, provoked = student.features(pseudo)
                    total = total + self.align(stages, provoked, benign, answers, self.beta, self.gamma)
            return total, logits

        return loss

    def align(
        self, stages: list[Tensor], logits: Tensor, benign: list[Tensor], answers: Tensor, near: float, predict: float
    ) -> Tensor:
        """near d(B_S, B_T) + predict tau^2 KL(T || S), over the chosen forms."""
        total = logits.new_zeros((), dtype=torch.float32)
        if near and benign:
            total = total + near * distance(behave(stages, self.behavior), benign)
        if predict and Form.prediction in self.behavior:
            total = total + predict * divergence(logits, answers, self.tau)
        return total

    def craft(
        self,
        student: Network,
        teacher: Network,
        crafter: Crafter,
        x: Tensor,
        y: Tensor,
        taught: list[Tensor],
        generator: torch.Generator,
    ) -> Tensor | None:
        """Pseudo samples for one batch, without gradient; `taught` are the teacher's stages on x."""
        draw = torch.rand((), generator=generator, device=x.device)
        size = self.eps_low + (self.eps - self.eps_low) * draw

        def score(pseudo: Tensor, target: Tensor | None, rows: slice = slice(None)) -> Tensor:
            stages, logits = student.features(pseudo)
            # sums, not means: in fp16 the slope of a mean over the batch would underflow before its sign is taken
            if target is None:
                climb = F.cross_entropy(logits.float(), y[rows], reduction="sum")
            else:
                climb = -F.cross_entropy(logits.float(), target, reduction="sum")
            if self.mu and (wanted := behave([stage[rows] for stage in taught], self.behavior)):
                climb = climb + self.mu * len(pseudo) * distance(behave(stages, self.behavior), wanted)
            if self.resist:
                climb = climb - self.resist * F.cross_entropy(teacher(pseudo).float(), y[rows], reduction="sum")
            return climb

        craft = Craft(
            score=score,
            eps=size,
            steps=self.craft_steps,
            area=self.area,
            patch_share=self.patch_share,
            generator=generator,
        )
        return crafter(x, craft)
