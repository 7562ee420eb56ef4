"""What a defense sees and what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, TypedDict

import torch
from torch import Tensor, nn

from nba_cli.data import Augment, Data
from nba_cli.errors import Refused
from nba_cli.train import Report, silent
from nba_cli.victims import Network


class Training(TypedDict):
    """What every training of a defense has in common: keyword arguments of `train.fit`."""

    augment: Callable[[Tensor, torch.Generator], Tensor]
    dtype: torch.dtype
    generator: torch.Generator
    report: Report


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

    def training(self, generator: torch.Generator, report: Report) -> Training:
        return Training(augment=self.augment, dtype=self.dtype, generator=generator, report=report)


def batch_norms(model: nn.Module, defense: str) -> dict[str, nn.BatchNorm2d]:
    """The batch-norm layers of `model` by name.

    Raises:
        Refused: there is none.
    """
    found = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    if not found:
        raise Refused(f"defense={defense} works on batch-norm layers; this victim has none.")
    return found


@dataclass(kw_only=True)
class Defense:
    """A way to clean a suspect model. Fields of subclasses are their config schema."""

    version: ClassVar[int] = 1

    def __call__(self, evidence: Evidence, generator: torch.Generator, report: Report = silent) -> Network:
        """Return a cleaned network; `evidence.model` keeps its weights.

        `generator` lives on the model's device and is the only source of randomness.
        """
        raise NotImplementedError
