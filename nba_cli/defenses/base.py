"""What a defense sees and what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Self, TypedDict

import torch
from torch import Tensor

from nba_cli import domains
from nba_cli.data import Augment, Data
from nba_cli.errors import Refused
from nba_cli.training import Plan, Progress, silent
from nba_cli.victims import Network


class Training(TypedDict):
    """What every training of a defense has in common: keyword arguments of `training.fit`."""

    augment: Callable[[Tensor, torch.Generator], Tensor]
    dtype: torch.dtype
    generator: torch.Generator
    progress: Progress


@dataclass(kw_only=True)
class Evidence:
    """All that a defense may see: no trigger, no test set, no poison flag, no target label.

    Fields:
        model: the suspect network; a defense works on copies of it.
        clean: the defender's small clean set, on the model's device or on the CPU.
        num_classes: number of classes.
        augment: the data set's own augmentation, uint8 [N,C,H,W] -> float in [0,1].
        dtype: arithmetic of the forward passes.
    """

    model: Network
    clean: Data
    num_classes: int
    augment: Callable[[Tensor, torch.Generator], Tensor] = field(default_factory=Augment)
    dtype: torch.dtype = torch.float32

    def training(self, generator: torch.Generator, progress: Progress) -> Training:
        return Training(augment=self.augment, dtype=self.dtype, generator=generator, progress=progress)


@dataclass(kw_only=True)
class Defense:
    """A way to clean a suspect model. Fields of subclasses are their config schema."""

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        domains.check(self, "defense")

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        """Return a cleaned network; `evidence.model` keeps its weights.

        `generator` lives on the model's device and is the only source of randomness.
        """
        raise NotImplementedError

    def backward_images(self, clean: int) -> float:
        """Images passed backward through the network with `clean` images; 0: the method has no length to choose."""
        return 0.0

    def with_budget(self, images: float, clean: int) -> Self:
        """The defense with all of its plans lengthened or shortened alike, so that it passes `images` backward.

        One without plans has no length and stays as it is.

        Raises:
            Refused: it has plans but does not say what they cost.
        """
        values = {option.name: getattr(self, option.name) for option in fields(self)}
        plans = {name: value for name, value in values.items() if isinstance(value, Plan)}
        own = self.backward_images(clean)
        if plans and not own:
            raise Refused("budget=equal: this defense does not say how many images it passes backward.")
        return replace(self, **{name: plan.scaled(images / own) for name, plan in plans.items()})
