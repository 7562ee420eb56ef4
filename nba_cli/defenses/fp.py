"""FP: fine-pruning (Liu, Dolan-Gavitt & Garg, RAID 2018, arXiv:1805.12185)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from nba_cli import devices
from nba_cli.data import Data, hold_out, to_float
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.errors import Refused
from nba_cli.plan import Plan, Schedule
from nba_cli.predict import accuracy
from nba_cli.train import Report, fit, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class FP(Defense):
    """Prune the last stage's channels, least active on clean images first, until hold-out accuracy has dropped by more
    than `drop`; undo the last step; fine-tune what is left.

    The channels are pruned where the classifier reads them: the columns of its first linear layer. Pruned ones stay
    zero in fine-tuning. Ours: the accuracy that stops the pruning is read on a hold-out of the clean set (public code
    reads the test set). Cost: one forward pass over the clean images, one over the hold-out per pruning step, and those
    of fine-tuning.

    Fields:
        step: share of the channels that a pruning step removes, in (0,1]
        drop: hold-out accuracy in [0,1] that pruning may cost
        held: share of the clean set that is held out, in (0,1)
        train: how long and how hard to fine-tune
    """

    step: float = 0.01
    drop: float = 0.1
    held: float = 0.2
    train: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.01, schedule=Schedule.cosine))

    def __post_init__(self) -> None:
        if not 0 < self.step <= 1 or not 0 <= self.drop <= 1 or not 0 < self.held < 1:
            raise Refused(
                f"defense.step={self.step}, drop={self.drop}, held={self.held}: step lies in (0,1], drop in [0,1], "
                "held in (0,1)."
            )

    def __call__(self, evidence: Evidence, generator: torch.Generator, report: Report = silent) -> Network:
        model = copy.deepcopy(evidence.model)
        clean, held = hold_out(evidence.clean, self.held, generator)
        head, activity = classifier(model, clean, evidence.dtype)
        kept = torch.ones_like(head.weight)
        order = activity.argsort()  # ascending
        before = accuracy(model, held, evidence.dtype)
        whole = head.weight.detach().clone()
        size = max(1, round(self.step * len(order)))
        for count in range(size, len(order), size):
            mask = torch.ones(len(order), device=kept.device)
            mask[order[:count]] = 0
            mask = mask.repeat_interleave(head.in_features // len(order)).expand_as(kept)
            with torch.no_grad():
                head.weight.copy_(whole * mask)
            left = accuracy(model, held, evidence.dtype)
            report("prune", count, len(order))
            if before - left > self.drop:
                break
            kept = mask
        with torch.no_grad():
            head.weight.copy_(whole * kept)
        pruned = (kept[0] == 0).sum().item() * len(order) / head.in_features
        report("prune", len(order), len(order), {"pruned": pruned, "channels": len(order)})
        handle = head.weight.register_hook(lambda slope: slope * kept)  # weight decay leaves a 0 at 0
        fit(
            model,
            clean,
            self.train,
            phase="fine-tune",
            **evidence.training(generator, report),
        )
        handle.remove()
        return model


@torch.no_grad()
def classifier(model: Network, clean: Data, dtype: torch.dtype, batch: int = 500) -> tuple[nn.Linear, Tensor]:
    """The first linear layer, and the mean of each channel [C] of the last stage as that layer reads it.

    Raises:
        Refused: the network does not classify by a linear layer on the channels of its last stage.
    """
    read: list[tuple[nn.Linear, Tensor]] = []
    device = next(model.parameters()).device

    def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.Linear) and (not read or read[-1][0] is not module):
            read.append((module, given[0].float()))

    handles = [module.register_forward_pre_hook(note) for module in model.modules() if isinstance(module, nn.Linear)]
    training = model.training
    model.eval()
    total, head, channels = torch.zeros((), device=device), None, 0
    try:
        for images in clean.images.split(batch):
            read.clear()
            with devices.autocast(device, dtype):
                stages, _ = model.features(to_float(images.to(device)))
            channels = stages[-1].shape[1]
            if not read or read[0][0].in_features % channels or read[0][1].ndim != 2:
                raise Refused(
                    "defense=fp prunes the last stage's channels where a linear layer reads them; this victim has no "
                    "such layer."
                )
            head, seen = read[0]
            total = total + seen.view(len(seen), channels, -1).mean(2).sum(0)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    assert head is not None
    return head, total / len(clean)
