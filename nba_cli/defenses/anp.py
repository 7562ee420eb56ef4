"""ANP: adversarial neuron pruning (Wu & Wang, NeurIPS 2021, arXiv:2110.14430)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from nba_cli.data import Data, hold_out
from nba_cli.defenses.base import Defense, Evidence, batch_norms
from nba_cli.errors import Refused
from nba_cli.plan import Plan, Schedule
from nba_cli.predict import accuracy
from nba_cli.train import Report, fit, silent
from nba_cli.victims import Network

Values = dict[str, Tensor]


class Masked(nn.Module):
    """A network whose batch-norm weights w and biases b read (m + d) w and (1 + e) b; its parameters are the masks
    m."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.norms = batch_norms(network, "anp")
        self.flat = {name: name.replace(".", "|") for name in self.norms}  # a ParameterDict takes no dots
        ones = {flat: nn.Parameter(torch.ones_like(self.norms[name].weight)) for name, flat in self.flat.items()}
        self.mask = nn.ParameterDict(ones)
        self.network = [network]  # in a list: its weights are no parameters of this

    def forward(self, x: Tensor, noise: tuple[Values, Values] | None = None) -> Tensor:
        changed = {}
        for name, norm in self.norms.items():
            weight, bias = self.mask[self.flat[name]], torch.ones_like(norm.bias)
            if noise is not None:
                weight, bias = weight + noise[0][name], bias + noise[1][name]
            changed |= {f"{name}.weight": weight * norm.weight, f"{name}.bias": bias * norm.bias}
        return functional_call(self.network[0], changed, (x,))


@dataclass(kw_only=True)
class ANP(Defense):
    """min_m a CE(f(m)) + (1 - a) max_{|d|,|e| <= eps} CE(f(m + d, 1 + e)), masks m in [0,1] on the batch-norm weights,
    noise d on them and e on the biases; then zero the weights whose mask is below a threshold.

    Backdoored neurons are those that a small perturbation turns towards the target. The inner maximum is one sign step
    of eps from zero noise. The threshold is the largest one that costs at most `drop` of HOLD-OUT accuracy (a widely
    used implementation reads the test set, even its ASR). Cost a step: three forward and backward passes; one forward
    pass over the hold-out per threshold tried.

    Fields:
        eps: largest relative noise
        balance: weight a of the unperturbed loss, in [0,1]
        drop: hold-out accuracy in [0,1] that pruning may cost
        held: share of the clean set that is held out, in (0,1)
        train: how long and how hard to train the masks
    """

    eps: float = 0.4
    balance: float = 0.2
    drop: float = 0.02
    held: float = 0.2
    train: Plan = field(default_factory=lambda: Plan(steps=600, lr=0.2, schedule=Schedule.constant, decay=0.0))

    def __post_init__(self) -> None:
        if self.eps <= 0 or not 0 <= self.balance <= 1 or not 0 <= self.drop <= 1 or not 0 < self.held < 1:
            raise Refused(
                f"defense.eps={self.eps}, balance={self.balance}, drop={self.drop}, held={self.held}: eps is above 0, "
                "balance and drop lie in [0,1], held in (0,1)."
            )

    def __call__(self, evidence: Evidence, generator: torch.Generator, report: Report = silent) -> Network:
        clean, held = hold_out(evidence.clean, self.held, generator)
        masked = Masked(copy.deepcopy(evidence.model).train().requires_grad_(False))
        fit(
            masked,
            clean,
            self.train,
            self.objective,
            phase="mask",
            **evidence.training(generator, report),
        )
        masks = {name: masked.mask[flat].detach().clamp(0, 1) for name, flat in masked.flat.items()}
        return self.prune(evidence, masks, held, report)

    def objective(self, masked: Masked, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The outer objective, at the noise that one step of the inner one finds."""
        with torch.no_grad():  # the projection onto [0,1], before the masks are read
            for mask in masked.mask.values():
                mask.clamp_(0, 1)
        noise = self.worst(masked, x, y)
        logits = masked(x).float()
        loss = F.cross_entropy(logits, y)
        perturbed = F.cross_entropy(masked(x, noise).float(), y)
        return self.balance * loss + (1 - self.balance) * perturbed, logits

    def worst(self, masked: Masked, x: Tensor, y: Tensor) -> tuple[Values, Values]:
        """eps times the sign of the loss's slope in the noise, at noise drawn nowhere: from 0."""
        noise = tuple(
            {name: torch.zeros_like(norm.weight).requires_grad_() for name, norm in masked.norms.items()}
            for _ in range(2)
        )
        flat = [value for part in noise for value in part.values()]
        # a sum, not a mean: in fp16 the slope of a mean over the batch would underflow before its sign is taken
        loss = F.cross_entropy(masked(x, (noise[0], noise[1])).float(), y, reduction="sum")
        slopes = iter(torch.autograd.grad(loss, flat))
        found = [{name: self.eps * next(slopes).sign() for name in part} for part in noise]
        return found[0], found[1]

    def prune(self, evidence: Evidence, masks: Values, held: Data, report: Report) -> Network:
        """The suspect model with as many weights zeroed, lowest mask first, as hold-out accuracy permits."""
        floor = accuracy(evidence.model, held, evidence.dtype) - self.drop
        best, count = copy.deepcopy(evidence.model), 0
        for threshold in torch.arange(0.05, 1.0, 0.05).tolist():
            pruned = copy.deepcopy(evidence.model)
            with torch.no_grad():
                for name, norm in batch_norms(pruned, "anp").items():
                    norm.weight[masks[name] < threshold] = 0
            if accuracy(pruned, held, evidence.dtype) >= floor:
                best, count = pruned, sum(int((mask < threshold).sum()) for mask in masks.values())
        report("prune", 1, 1, {"pruned": count, "channels": sum(mask.numel() for mask in masks.values())})
        return best
