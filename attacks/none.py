"""No attack: a clean victim, the reference of every table."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.base import Attack
from nba_cli.errors import Refused


@dataclass(kw_only=True)
class NoAttack(Attack):
    """Poisons nothing. ASR and RA do not exist for it.

    Fields:
        rate: always 0
    """

    rate: float = 0.0

    def check_rate(self) -> None:
        if self.rate != 0:
            raise Refused(
                f"attack.rate={self.rate}: this attack poisons nothing. Choose an attack, such as attack=badnets."
            )

    def choose(self, labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
        return torch.empty(0, dtype=torch.int64)

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        return images.clone()

    def goal(self, labels: Tensor, num_classes: int) -> Tensor:
        """Nothing is wanted: every image's goal is its own class, so no image counts as triggered."""
        return labels.clone()


@dataclass(kw_only=True)
class Unknown(NoAttack):
    """A model from elsewhere: whether it is poisoned, and how, is not known. For nba defend weights=FILE.

    Fields:
        rate: always 0
    """

    def choose(self, labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
        raise Refused("attack=unknown is for a model from elsewhere: nba defend weights=FILE attack=unknown.")
