"""ANP: adversarial neuron pruning (Wu & Wang, NeurIPS 2021, arXiv:2110.14430)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from nba_cli import domains
from nba_cli.data import Data, check_hold_out, hold_out
from nba_cli.defenses._batch_norm import batch_norms
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.training import Event, Plan, Progress, Schedule, accuracy, fit, silent
from nba_cli.victims import Network

Values = dict[str, Tensor]
PATIENCE = 3  # the search for the number of channels ends at this many times the drop that is allowed


class Masked(nn.Module):
    """A network with (m + d) w and (1 + e) b in the place of its batch-norm weights w and biases b.

    Its parameters are the masks m.
    """

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
    """min_m a CE(f(m)) + (1 - a) max_{|d|,|e| <= eps} CE(f(m + d, 1 + e))

    m in [0,1] are masks on the batch-norm weights, d noise on them and e noise on the biases. Then these weights are
    set to zero one channel at a time, the smallest mask first ("by number" in the authors' code).

    Backdoored neurons are those that a small perturbation turns towards the target. As in the authors' code, the inner
    maximum is one sign step of eps from noise drawn uniformly in [-eps, eps], and the sum is not projected. Pruned
    is the largest number of channels at which HOLD-OUT accuracy is at most `drop` below the suspect model's (the
    authors plot all numbers; a widely used implementation reads the test set, even its ASR). The first channels that
    go often cost more than the next ones do, so a fall does not end the search; one of `PATIENCE` times `drop` does.
    The suspect model was trained on the hold-out images too, which makes its own accuracy there too high, so `drop` is
    larger than the 2 points one would grant on test images. Ours: this rule, Nesterov momentum. With a `threshold`
    nothing is held out, and all masks up to it are pruned at once ("by threshold" in the authors' code);
    `defense=published/anp` has 0.2. Cost a step: three forward and backward passes; one forward pass over the hold-out
    per tried channel.

    Fields:
        eps: largest relative noise
        balance: weight a of the unperturbed loss, in [0,1]
        drop: hold-out accuracy in [0,1] that pruning may cost
        held: share of the clean set that is held out, in (0,1)
        threshold: largest mask in [0,1) that is pruned, whatever it costs, and `drop` and `held` mean nothing; null: as
            many are pruned as `drop` permits on the hold-out
        train: how long and how hard to train the masks
    """

    version: ClassVar[int] = 3

    eps: float = domains.within(0.4, "(0,inf)")
    balance: float = domains.within(0.2, "[0,1]")
    drop: float = domains.within(0.05, "[0,1]")
    held: float = domains.within(0.2, "(0,1)")
    threshold: float | None = domains.within(None, "[0,1)")
    train: Plan = field(default_factory=lambda: Plan(steps=2000, lr=0.2, schedule=Schedule.constant, decay=0.0))

    def check(self, model: Network) -> None:
        batch_norms(model, "anp")

    def check_clean(self, clean: Data) -> None:
        if self.threshold is None:  # which needs no hold-out
            check_hold_out(clean)

    def backward_images(self, clean: int) -> float:
        used = clean if self.threshold is not None else round((1 - self.held) * clean)
        return 3 * self.train.images(used)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        if self.threshold is not None:
            masks = self.masks(evidence, evidence.clean, generator, progress)
            return cut(evidence.model, masks, self.threshold, progress)
        clean, held = hold_out(evidence.clean, self.held, generator)
        return self.prune(evidence, self.masks(evidence, clean, generator, progress), held, progress)

    def masks(self, evidence: Evidence, clean: Data, generator: torch.Generator, progress: Progress) -> Values:
        """Layer -> mask of each of its channels, in [0,1]."""
        masked = Masked(copy.deepcopy(evidence.model).train().requires_grad_(False))
        common = evidence.training(generator, progress)
        fit(
            masked,
            clean,
            self.train,
            partial(self.objective, generator),
            phase="mask",
            option="defense.train",
            **common,
        )
        return {name: masked.mask[flat].detach().clamp(0, 1) for name, flat in masked.flat.items()}

    def objective(self, generator: torch.Generator, masked: Masked, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The outer objective, at the noise that one step of the inner one finds."""
        with torch.no_grad():  # the projection onto [0,1], before the masks are read
            for mask in masked.mask.values():
                mask.clamp_(0, 1)
        noise = self.worst(masked, x, y, generator)
        logits = masked(x).float()
        loss = F.cross_entropy(logits, y)
        perturbed = F.cross_entropy(masked(x, noise).float(), y)
        return self.balance * loss + (1 - self.balance) * perturbed, logits

    def worst(self, masked: Masked, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Values, Values]:
        """One sign-gradient step of length eps, starting from uniform noise in [-eps, eps]."""
        draw = partial(torch.rand, generator=generator, device=x.device)
        noise = tuple(
            {
                name: (self.eps * (2 * draw(norm.weight.shape) - 1)).requires_grad_()
                for name, norm in masked.norms.items()
            }
            for _ in range(2)
        )
        flat = [value for part in noise for value in part.values()]
        # a sum, not a mean: in fp16 the gradient of a mean over the batch would underflow before its sign is taken
        loss = F.cross_entropy(masked(x, (noise[0], noise[1])).float(), y, reduction="sum")
        grads = iter(torch.autograd.grad(loss, flat))
        found = [
            {name: value.detach() + self.eps * next(grads).sign() for name, value in part.items()} for part in noise
        ]
        return found[0], found[1]

    def prune(self, evidence: Evidence, masks: Values, held: Data, progress: Progress) -> Network:
        """The suspect model with as many weights zeroed, smallest mask first, as hold-out accuracy permits."""
        order = sorted((value, name, k) for name, mask in masks.items() for k, value in enumerate(mask.tolist()))
        model, count = copy.deepcopy(evidence.model), 0
        base = accuracy(model, held, evidence.dtype)
        for number, (_, name, k) in enumerate(order, start=1):
            zero(model, [(name, k)])
            fall = base - accuracy(model, held, evidence.dtype)
            count = number if fall <= self.drop else count
            progress(Event("prune", number, len(order)))
            if fall > PATIENCE * self.drop:
                break
        progress(Event("prune", len(order), len(order), {"pruned": count, "channels": len(order)}))
        return without(evidence.model, [(name, k) for _, name, k in order[:count]])


def cut(suspect: Network, masks: Values, threshold: float, progress: Progress) -> Network:
    """The suspect model without the channels whose masks are at most the threshold."""
    total = sum(len(mask) for mask in masks.values())
    low = [(name, int(k)) for name, mask in masks.items() for k in (mask <= threshold).nonzero().flatten()]
    progress(Event("prune", total, total, {"pruned": len(low), "channels": total}))
    return without(suspect, low)


def without(suspect: Network, channels: list[tuple[str, int]]) -> Network:
    """A copy of the suspect model without these channels, in eval mode."""
    pruned = copy.deepcopy(suspect).eval()
    zero(pruned, channels)
    return pruned


@torch.no_grad()
def zero(model: Network, channels: list[tuple[str, int]]) -> None:
    """Set batch-norm weights, named by layer and channel, to zero."""
    norms = batch_norms(model, "anp")
    for name, k in channels:
        norms[name].weight[k] = 0
