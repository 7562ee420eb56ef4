"""SAU: shared adversarial unlearning (Wei, Zhang, Zha & Wu, NeurIPS 2023, arXiv:2307.10562)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from nba_cli.defenses.base import Defense, Evidence
from nba_cli.errors import Refused
from nba_cli.plan import Optimizer, Plan, Schedule
from nba_cli.train import Report, fit, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class SAU(Defense):
    """Find examples x + d that fool the suspect model f and the current model h alike; unlearn f's wrong label on them.

    Inner, for each batch: d climbs, in L_inf <= eps,  (CE(f(x+d), y) + CE(h(x+d), y)) / 2 - shared JS(f(x+d), h(x+d)).
    Outer:  clean CE(h(x), y) + adversarial CE(h(x+d), y) + unlearn E[-log(1 - h(x+d)_j)], j = argmax f(x+d), the last
    mean over those samples on which f errs, j != y, as a share of the batch. Backdoored images are adversarial examples
    that both models share; ordinary ones are not. Cost a step: 1 + `steps` passes forward and backward of both models
    for the attack, two more of h.

    Fields:
        eps: largest change of a pixel, L_inf in [0,1]
        steps: PGD steps of 2 eps / steps each
        shared: weight of the Jensen-Shannon divergence in the attack
        clean: weight of the clean loss
        adversarial: weight of the adversarial loss
        unlearn: weight of the unlearning loss
        train: how long and how hard to train
    """

    eps: float = 0.2
    steps: int = 5
    shared: float = 0.01
    clean: float = 1.0
    adversarial: float = 0.0
    unlearn: float = 1.0
    train: Plan = field(
        default_factory=lambda: Plan(
            steps=400, lr=1e-4, optimizer=Optimizer.adam, schedule=Schedule.constant, decay=0.0
        )
    )

    def __post_init__(self) -> None:
        if not 0 < self.eps <= 1 or self.steps < 1 or min(self.clean, self.adversarial, self.unlearn, self.shared) < 0:
            raise Refused(
                f"defense.eps={self.eps}, steps={self.steps}, clean={self.clean}, adversarial={self.adversarial}, "
                f"unlearn={self.unlearn}, shared={self.shared}: eps lies in (0,1], steps is 1 or more, "
                "weights are 0 or more."
            )

    def __call__(self, evidence: Evidence, generator: torch.Generator, report: Report = silent) -> Network:
        suspect = copy.deepcopy(evidence.model).eval().requires_grad_(False)

        def objective(model: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            delta = self.perturb(suspect, model, x, y, generator)
            # one pass over both halves, so that batch norm and its statistics see clean and adversarial images together
            logits, attacked = model(torch.cat([x, x + delta])).float().chunk(2)
            with torch.no_grad():
                wrong = suspect(x + delta).argmax(1)
            loss = self.clean * F.cross_entropy(logits, y) + self.adversarial * F.cross_entropy(attacked, y)
            return loss + self.unlearn * unlearning(attacked, wrong, y), logits

        return fit(
            copy.deepcopy(evidence.model),
            evidence.clean,
            self.train,
            objective,
            phase="unlearn",
            **evidence.training(generator, report),
        )

    def perturb(self, suspect: Network, model: Network, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """The shared adversarial perturbation d [N,C,H,W] of a batch, x + d in [0,1]."""
        training = model.training
        model.eval()
        delta = self.eps * (2 * torch.rand(x.shape, generator=generator, device=x.device) - 1)
        for _ in range(self.steps):
            delta = delta.detach().requires_grad_()
            moved = (x + delta).clamp(0, 1)
            one, two = suspect(moved).float(), model(moved).float()
            fooled = (F.cross_entropy(one, y, reduction="sum") + F.cross_entropy(two, y, reduction="sum")) / 2
            (slope,) = torch.autograd.grad(fooled - self.shared * jensen_shannon(one, two).sum(), delta)
            delta = (delta.detach() + 2 * self.eps / self.steps * slope.sign()).clamp(-self.eps, self.eps)
        model.train(training)
        return (x + delta).clamp(0, 1) - x


def jensen_shannon(one: Tensor, two: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two predictions from logits [N,K]: [N], in [0, log 2]."""
    p, q = F.log_softmax(one, 1), F.log_softmax(two, 1)
    middle = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0, device=p.device))
    return ((p.exp() * (p - middle)).sum(1) + (q.exp() * (q - middle)).sum(1)) / 2


def unlearning(logits: Tensor, wrong: Tensor, y: Tensor) -> Tensor:
    """E[-log(1 - p_wrong)] over the batch, samples with wrong = y counting 0.

    From logits: log(1 - p) itself has no slope left where p is nearly 1, which is where a backdoor is.
    """
    others = logits.scatter(1, wrong[:, None], -torch.inf)
    return ((logits.logsumexp(1) - others.logsumexp(1)) * (wrong != y)).mean()
