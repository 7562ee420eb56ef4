"""Triggers that have to be made before they can be stamped: drawn, crafted on a helper model, or trained together with
the victim."""

from __future__ import annotations

from dataclasses import dataclass
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
PARTNER = "partner."


@dataclass(kw_only=True)
class Lesson:
    """What a trigger is crafted from.

    Fields:
        train: the clean training set, on the CPU
        index: which of its images will be poisoned, int64 [P]
        num_classes: number of classes
        seed: the run's seed
        helper: the clean victim, in eval mode, its weights frozen
        dtype: arithmetic of the forward passes
    """

    train: Data
    index: Tensor
    num_classes: int
    seed: int
    helper: Network
    dtype: torch.dtype = torch.float32

    @property
    def device(self) -> torch.device:
        return next(self.helper.parameters()).device


class Held:
    """No dataclass: what it holds is no option and no part of a run's name."""

    made: Tensors | None = None


@dataclass(kw_only=True)
class Learned(Held, Attack):
    """An attack that stamps with tensors of its own, in `made`, which a file keeps.

    They come from `draw` (a function of the settings), from `learn` where `crafted` (cached), and from the partner of
    `join` where `joint` (trained with the victim; names start with PARTNER). Names that start with TRAIN_ONLY serve the
    poisoning alone and are not kept with the victim.
    """

    crafted: ClassVar[bool] = False
    joint: ClassVar[bool] = False
    unshaped: ClassVar[tuple[str, ...]] = ()  # options that do not change what is crafted

    def draw(self, shape: tuple[int, int, int]) -> Tensors:
        """The trigger's tensors for images of `shape` (C,H,W), on the CPU."""
        raise NotImplementedError

    def learn(self, lesson: Lesson, report: Report = silent) -> Tensors:
        """The same, crafted."""
        raise NotImplementedError

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
