"""FP: fine-pruning (Liu, Dolan-Gavitt & Garg, RAID 2018, arXiv:1805.12185)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from nba_cli import devices, domains
from nba_cli.data import Data, check_hold_out, hold_out, scaled_batch, to_float
from nba_cli.defenses._watching import watched
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.errors import Refused
from nba_cli.training import Event, Plan, Progress, Schedule, accuracy, fit, silent
from nba_cli.victims import Network

NO_LINEAR = (
    "defense=fp prunes the channels that a linear classifier reads; this victim has no such layer on the channels of "
    "its last maps."
)


@dataclass(kw_only=True)
class FP(Defense):
    """Prune the channels that the classifier reads, least active on clean images first, until hold-out accuracy has
    dropped by more than `drop`; undo the last step; fine-tune what is left on all clean images.

    The channels are pruned where the classifier reads them: the columns of its first linear layer. Pruned ones stay
    zero in fine-tuning. Ours: the accuracy that stops the pruning is read on a hold-out of the clean set (public code
    reads the test set), whose images are returned for fine-tuning. Cost: one forward pass over the clean images, one
    over the hold-out per pruning step, and those of fine-tuning.

    Fields:
        step: share of the channels that a pruning step removes, in (0,1)
        drop: hold-out accuracy in [0,1] that pruning may cost
        held: share of the clean set that is held out, in (0,1)
        train: how long and how hard to fine-tune
    """

    version: ClassVar[int] = 2

    step: float = domains.within(0.01, "(0,1)")
    drop: float = domains.within(0.1, "[0,1]")
    held: float = domains.within(0.2, "(0,1)")
    train: Plan = field(default_factory=lambda: Plan(epochs=100, lr=0.01, schedule=Schedule.cosine))

    def check(self, model: Network) -> None:
        if not model.convolutional:
            raise Refused(
                "defense=fp prunes channels that convolutions put out; this victim is a transformer. ft, nad, nba ... "
                "work on it."
            )
        if not any(isinstance(module, nn.Linear) for module in model.modules()):
            raise Refused(NO_LINEAR)

    def check_clean(self, clean: Data) -> None:
        check_hold_out(clean)

    def backward_images(self, clean: int) -> float:
        return self.train.images(clean)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        self.check(evidence.model)
        model = copy.deepcopy(evidence.model)
        clean, held = hold_out(evidence.clean, self.held, generator)
        head, activity = classifier(model, clean, evidence.dtype)
        kept = torch.ones_like(head.weight)
        order = activity.argsort()  # ascending
        before = accuracy(model, held, evidence.dtype)
        whole = head.weight.detach().clone()
        size = max(1, round(self.step * len(order)))
        if size >= len(order) > 1:
            raise Refused(f"defense.step={self.step}: one step takes all {len(order)} channels. Choose a smaller one.")
        for count in range(size, len(order), size):
            mask = torch.ones(len(order), device=kept.device)
            mask[order[:count]] = 0
            mask = mask.repeat_interleave(head.in_features // len(order)).expand_as(kept)
            with torch.no_grad():
                head.weight.copy_(whole * mask)
            left = accuracy(model, held, evidence.dtype)
            progress(Event("prune", count, len(order)))
            if before - left > self.drop:
                break
            kept = mask
        with torch.no_grad():
            head.weight.copy_(whole * kept)
        pruned = (kept[0] == 0).sum().item() * len(order) / head.in_features
        progress(Event("prune", len(order), len(order), {"pruned": pruned, "channels": len(order)}))
        handle = head.weight.register_hook(lambda grad: grad * kept)  # weight decay leaves a 0 at 0
        fit(
            model,
            evidence.clean,
            self.train,
            phase="fine-tune",
            option="defense.train",
            compiling=evidence.compiling,
            **evidence.training(generator, progress),
        )
        handle.remove()
        return model


@torch.no_grad()
def classifier(model: Network, clean: Data, dtype: torch.dtype, batch: int = 500) -> tuple[nn.Linear, Tensor]:
    """The classifier's first linear layer, and the mean of each channel [C] of the maps as that layer reads them.

    It is the first linear layer that reads vectors [N,F]; its channels are those of the last maps [N,C,H,W] before it,
    pooled (F = C) or flattened (F = C H W).

    Raises:
        Refused: the network does not classify by a linear layer on the channels of its last maps.
    """
    maps: list[int] = []  # channels of the maps seen so far in this pass
    read: list[tuple[nn.Linear, int, Tensor]] = []
    device = next(model.parameters()).device

    def note(module: nn.Module, given: tuple[Tensor, ...], out: object) -> None:
        if isinstance(module, nn.Linear) and given[0].ndim == 2 and maps and not read:
            read.append((module, maps[-1], given[0].float()))
        elif isinstance(out, Tensor) and out.ndim == 4:
            maps.append(out.shape[1])

    total, head, channels = torch.zeros((), device=device), None, 0
    with watched(model, note):
        for images in clean.images.split(scaled_batch(batch, clean.images)):
            read.clear()
            maps.clear()
            with devices.autocast(device, dtype):
                model(to_float(images.to(device)))
            if not read or read[0][0].in_features % read[0][1]:
                raise Refused(NO_LINEAR)
            head, channels, seen = read[0]
            total = total + seen.view(len(seen), channels, -1).mean(2).sum(0)
    assert head is not None
    return head, total / len(clean)
