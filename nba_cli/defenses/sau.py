"""SAU: shared adversarial unlearning (Wei, Zhang, Zha & Wu, NeurIPS 2023, arXiv:2307.10562)."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nba_cli import devices, domains
from nba_cli.defenses._teacher import frozen
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.modes import in_mode
from nba_cli.training import Objective, Optimizer, Plan, Progress, Schedule, fit, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class SAU(Defense):
    """Find examples x + d that fool the suspect model f and the current model h alike; unlearn f's wrong label on them.

    Inner, for each batch, d climbs in L_inf <= eps:

        fool (CE(f(x+d), y) + CE(h(x+d), y)) / 2 - shared JS(f(x+d), h(x+d))

    where a sample's cross-entropy counts until it fools that model, and its divergence until both are fooled into the
    same class. Outer, with j = argmax f(x+d):

        clean CE(h(x), y) + adversarial CE(h(x+d), y) + unlearn E[-log(1 - h(x+d)_j)]

    the last over those samples on which f errs in a new way, as a share of the batch. Backdoored images are adversarial
    examples that both models share; ordinary ones are not. As in the authors' code, d starts at +eps everywhere, x + d
    is not clipped to [0,1], and batch norm keeps to its running statistics throughout, unless `batch_statistics` asks
    for what theirs calls train_mode. Ours: half the images of theirs (1,000 batches of 128; theirs, of 2,500 clean
    images, 1,000 of 256), augmented (theirs not), Adam without AMSGrad, and the unlearning loss from logits, whose
    gradient does not vanish. On development victims neither the default nor the authors' settings give blend's images
    their classes back; a brief schedule at a large rate does (results/selection). Cost a step: two passes forward of
    f; for the attack `steps` passes forward and backward of both models, and one forward; two more of h, both ways.

    Fields:
        eps: largest change of a pixel, L_inf in [0,1]
        steps: ascent steps of the attack
        step: length of an ascent step, L_inf
        fool: weight of the cross-entropy in the attack
        shared: weight of the Jensen-Shannon divergence in the attack
        clean: weight of the clean loss
        adversarial: weight of the adversarial loss
        unlearn: weight of the unlearning loss
        batch_statistics: batch norm of what trains follows its batch, clean and attacked images together, and not the
            running statistics
        train: how long and how hard to train
    """

    version: ClassVar[int] = 2  # not raised for devices.no_grad: no kept result is of a release that needs it

    eps: float = domains.within(0.2, "(0,1]")
    steps: int = domains.within(5, "[1,inf)")
    step: float = domains.within(0.2, "(0,inf)")
    fool: float = domains.within(0.01, "[0,inf)")
    shared: float = domains.within(1.0, "[0,inf)")
    clean: float = domains.within(1.0, "[0,inf)")
    adversarial: float = domains.within(0.0, "[0,inf)")
    unlearn: float = domains.within(1.0, "[0,inf)")
    batch_statistics: bool = False
    train: Plan = field(
        default_factory=lambda: Plan(
            steps=1000, lr=1e-4, optimizer=Optimizer.adam, schedule=Schedule.constant, decay=0.0
        )
    )

    def backward_images(self, clean: int) -> float:
        return (2 * self.steps + 2) * self.train.images(clean)  # the attack climbs on both models

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        return fit(
            copy.deepcopy(evidence.model),
            evidence.clean,
            self.train,
            self.objective(frozen(evidence.model)),
            phase="unlearn",
            option="defense.train",
            **evidence.training(generator, progress),
        )

    def objective(self, suspect: Network) -> Objective:
        """The outer objective on a batch, at the d that the inner one finds."""

        def loss(model: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            with in_mode(model, training=False):
                attacked_x = x + self.perturb(suspect, model, x, y)
            with in_mode(model, training=self.batch_statistics):
                logits, attacked = model(torch.cat([x, attacked_x])).float().chunk(2)
            with torch.no_grad():
                before, wrong = suspect(x).argmax(1), suspect(attacked_x).argmax(1)
            found = self.clean * F.cross_entropy(logits, y) + self.adversarial * F.cross_entropy(attacked, y)
            found = found + self.unlearn * unlearning(attacked, wrong, (wrong != y) & (wrong != before))
            return found, logits

        return loss

    def perturb(self, suspect: Network, model: Network, x: Tensor, y: Tensor) -> Tensor:
        """The shared adversarial perturbation d [N,C,H,W] of a batch; both models are in eval mode."""
        with devices.no_grad():
            clean = [network(x).argmax(1) for network in (suspect, model)]
        delta = torch.full_like(x, self.eps)
        for _ in range(self.steps):
            delta = delta.detach().requires_grad_()
            one, two = suspect(x + delta).float(), model(x + delta).float()
            fooled = [logits.argmax(1) != before for logits, before in zip((one, two), clean, strict=True)]
            alike = fooled[0] & fooled[1] & (one.argmax(1) == two.argmax(1))
            gain = jensen_shannon(one, two) * ~alike * -self.shared
            for logits, done in zip((one, two), fooled, strict=True):
                gain = gain + self.fool / 2 * F.cross_entropy(logits, y, reduction="none") * ~done
            # a sum, not a mean: in fp16 the gradient of a mean over the batch would underflow before its sign is taken
            (grad,) = torch.autograd.grad(gain.sum(), delta)
            delta = (delta.detach() + self.step * grad.sign()).clamp(-self.eps, self.eps)
        return delta


def jensen_shannon(one: Tensor, two: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two predictions from logits [N,K]: [N], in [0, log 2]."""
    p, q = F.log_softmax(one, 1), F.log_softmax(two, 1)
    middle = torch.logaddexp(p, q) - math.log(2)
    return ((p.exp() * (p - middle)).sum(1) + (q.exp() * (q - middle)).sum(1)) / 2


def unlearning(logits: Tensor, wrong: Tensor, fooled: Tensor) -> Tensor:
    """E[-log(1 - p_wrong)] over the batch; samples that are not `fooled` (bool [N]) count 0.

    From logits: log(1 - p) itself has no gradient left where p is nearly 1, which is where a backdoor is.
    """
    others = logits.scatter(1, wrong[:, None], -torch.inf)
    return ((logits.logsumexp(1) - others.logsumexp(1)) * fooled).mean()
