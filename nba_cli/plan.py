"""How long and how hard to train: the settings of every training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import torch
from torch import nn

from nba_cli.errors import Refused


class Schedule(Enum):
    """onecycle: linear warm-up over the first fifth, then cosine to 0; cosine: from lr to 0; constant."""

    onecycle = "onecycle"
    cosine = "cosine"
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
        schedule: onecycle, cosine or constant
        optimizer: sgd or adam
        momentum: Nesterov momentum in [0,1), of sgd
        decay: weight decay
        clip: largest gradient norm; null: no clipping
        average: decay in [0,1) of an exponential average of the weights, which is then the result; null: none
    """

    epochs: float | None = None
    steps: int | None = None
    batch: int = 128
    lr: float = 0.1
    schedule: Schedule = Schedule.onecycle
    optimizer: Optimizer = Optimizer.sgd
    momentum: float = 0.9
    decay: float = 5e-4
    clip: float | None = None
    average: float | None = None

    def __post_init__(self) -> None:
        self.epochs = None if self.epochs is None else float(self.epochs)  # 15 and 15.0 name the same run
        if (self.epochs is None) == (self.steps is None):
            raise Refused(
                f"epochs={_yaml(self.epochs)} and steps={_yaml(self.steps)}: give one length and set the other to null."
            )
        if (self.epochs or self.steps or 0) <= 0 or self.batch < 1 or self.lr <= 0:
            raise Refused(f"length {self.epochs or self.steps}, batch={self.batch}, lr={self.lr}: all must be above 0.")
        if not 0 <= self.momentum < 1 or (self.average is not None and not 0 <= self.average < 1):
            raise Refused(f"momentum={self.momentum}, average={self.average}: both lie in [0,1).")

    def optimize(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """The optimizer at peak learning rate."""
        fused = device.type == "cuda"
        if self.optimizer is Optimizer.adam:
            return torch.optim.Adam(parameters, self.lr, weight_decay=self.decay, fused=fused)
        return torch.optim.SGD(
            parameters, self.lr, self.momentum, weight_decay=self.decay, nesterov=self.momentum > 0, fused=fused
        )

    def steps_per_epoch(self, count: int) -> int:
        """Batches of `count` images. A last one alone joins the batch before: batch norm makes nothing of one image."""
        full, rest = divmod(count, self.batch)
        return full + (rest > 1 or full == 0)

    def total(self, count: int) -> int:
        """Optimizer steps on `count` images."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 0) * self.steps_per_epoch(count)))


def _yaml(value: object) -> object:
    return "null" if value is None else value


def rate_at(schedule: Schedule, step: int, total: int) -> float:
    """Learning rate at `step` (0-based) of `total` as a share of the peak; above 0 at every step."""
    if schedule is Schedule.constant:
        return 1.0
    rising = max(1, round(total / 5)) if schedule is Schedule.onecycle else 0
    if step < rising:
        return (step + 1) / (rising + 1)
    return (1 + math.cos(math.pi * (step - rising) / max(1, total - rising))) / 2
