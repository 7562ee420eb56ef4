"""Triggers that have to be made before they can be stamped: drawn, optimised, or trained together with the victim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from attacks.base import Attack
from nba_cli.data import Data
from nba_cli.errors import Refused
from nba_cli.train import Report, silent
from nba_cli.victims import Network

Tensors = dict[str, Tensor]
TRAIN_ONLY = "train."


@dataclass(kw_only=True)
class Lesson:
    """What a trigger is made from.

    Fields:
        train: the clean training set, on the CPU
        index: which of its images will be poisoned, int64 [P]
        num_classes: number of classes
        seed: the run's seed
        helper: returns the clean victim, in eval mode, its weights frozen
        device: where the helper is
        dtype: arithmetic of the forward passes
        report: progress
    """

    train: Data
    index: Tensor
    num_classes: int
    seed: int
    helper: Callable[[], Network]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    report: Report = silent


class Held:
    """No dataclass: what it holds is no option and no part of a run's name."""

    made: Tensors | None = None


@dataclass(kw_only=True)
class Learned(Held, Attack):
    """An attack that stamps with tensors of its own, in `made`, which `learn` returns and a file keeps.

    Names that start with TRAIN_ONLY serve the poisoning alone and are not kept with the victim.
    """

    crafted: ClassVar[bool] = True  # costs time on a helper model, hence cached
    joint: ClassVar[bool] = False  # trained with its victim, see `join`
    unshaped: ClassVar[tuple[str, ...]] = ()  # options that do not change what is learned

    def learn(self, lesson: Lesson) -> Tensors:
        """The trigger's tensors, on the CPU; none yet where it is `joint`."""
        return {}

    def tensors(self, like: Tensor) -> Tensors:
        """The trigger's tensors, on the device of `like`.

        Raises:
            Refused: the trigger has not been made.
        """
        if self.made is None:
            raise Refused(f"{type(self).__name__}: this trigger has to be learned before it can be stamped.")
        return {name: tensor.to(like.device) for name, tensor in self.made.items()}

    def tensor(self, name: str, like: Tensor) -> Tensor:
        return self.tensors(like)[name]
