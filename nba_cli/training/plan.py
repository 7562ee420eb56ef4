"""How long and how hard to train: the settings of every training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise

import torch
from torch import nn

from nba_cli import domains
from nba_cli.errors import Refused


class Schedule(Enum):
    """onecycle: linear warm-up over the first fifth, then cosine to 0. cosine: from lr to 0. drop: lr, a tenth of
    it after each of `drops`. constant."""

    onecycle = "onecycle"
    cosine = "cosine"
    drop = "drop"
    constant = "constant"


class Optimizer(Enum):
    """sgd: with Nesterov momentum; adam: Kingma & Ba 2015."""

    sgd = "sgd"
    adam = "adam"


@dataclass(kw_only=True)
class Plan:
    """How long and how hard to train.

    Fields:
        epochs: length in passes over the data; null when `steps` is given
        steps: length in optimizer steps; null when `epochs` is given
        batch: images a step
        lr: peak learning rate
        schedule: onecycle, cosine, drop or constant
        drops: of schedule=drop: the shares of the length, ascending in (0,1), after which the rate falls to a tenth
        optimizer: sgd or adam
        momentum: Nesterov momentum in [0,1), of sgd
        decay: weight decay
        clip: largest gradient norm; null: no clipping
        average: decay in [0,1) of an exponential average of the weights, which is then the result; null: none
    """

    epochs: float | None = domains.within(None, "(0,1e12]")  # beyond it arithmetic overflows
    steps: int | None = domains.within(None, "(0,1e12]")
    batch: int = domains.within(128, "(0,1e12]")
    lr: float = domains.within(0.1, "(0,inf)")
    schedule: Schedule = Schedule.onecycle
    drops: list[float] = field(default_factory=list)
    optimizer: Optimizer = Optimizer.sgd
    momentum: float = domains.within(0.9, "[0,1)")
    decay: float = domains.within(5e-4, "[0,inf)")
    clip: float | None = domains.within(None, "(0,inf)")
    average: float | None = domains.within(None, "[0,1)")

    def __post_init__(self) -> None:
        self.epochs = None if self.epochs is None else float(self.epochs)  # 15 and 15.0 name the same run
        if (self.epochs is None) == (self.steps is None):
            raise Refused(
                f"epochs={_yaml(self.epochs)}, steps={_yaml(self.steps)}: give one length and set the other to null."
            )
        domains.check(self)
        if not is_ascending(self.drops) or (self.schedule is Schedule.drop and not self.drops):
            raise Refused(
                f"schedule={self.schedule.value}, drops={self.drops}: drops are shares of the length, ascending in "
                "(0,1), such as [0.5,0.75]; schedule=drop needs one or more."
            )

    def optimize(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """The optimizer at peak learning rate."""
        fused = device.type == "cuda"
        if self.optimizer is Optimizer.adam:
            return torch.optim.Adam(parameters, self.lr, weight_decay=self.decay, fused=fused)
        return torch.optim.SGD(
            parameters, self.lr, self.momentum, weight_decay=self.decay, nesterov=self.momentum > 0, fused=fused
        )

    def steps_per_epoch(self, count: int) -> int:
        """Batches of `count` images. A last batch of one image is merged into the one before: batch norm needs two."""
        full, rest = divmod(count, self.batch)
        return full + (rest > 1 or full == 0)

    def total(self, count: int) -> int:
        """Optimizer steps on `count` images."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 0) * self.steps_per_epoch(count)))

    def images(self, count: int) -> float:
        """Images in all batches together, of a set of `count`."""
        return self.total(count) * count / self.steps_per_epoch(count)

    def scaled(self, factor: float) -> Plan:
        """The plan, `factor` times as long."""
        if self.steps is not None:
            return replace(self, steps=max(1, round(self.steps * factor)))
        return replace(self, epochs=(self.epochs or 0) * factor)


def _yaml(value: object) -> object:
    return "null" if value is None else value


def is_ascending(shares: Sequence[float]) -> bool:
    """Whether the shares ascend and lie in (0,1)."""
    return all(low < high for low, high in pairwise([0.0, *shares, 1.0]))


def rate_at(plan: Plan, step: int, total: int) -> float:
    """Learning rate at `step` (0-based) of `total` as a share of the peak; above 0 at every step."""
    schedule = plan.schedule
    if schedule is Schedule.constant:
        return 1.0
    if schedule is Schedule.drop:
        return 0.1 ** sum(step >= share * total for share in plan.drops)
    rising = max(1, round(total / 5)) if schedule is Schedule.onecycle else 0
    if step < rising:
        return (step + 1) / (rising + 1)
    return (1 + math.cos(math.pi * (step - rising) / max(1, total - rising))) / 2
