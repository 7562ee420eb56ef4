"""Networks that torchvision builds, as victims. Parameter names are torchvision's own.

torchvision is imported where a network is built, here and in what derives from this: it takes nearly as long to
import as PyTorch, and most runs do without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING
from torch import nn

from nba_cli.errors import Refused, did_you_mean
from nba_cli.victims.base import Network, Normalise, Victim
from nba_cli.victims.tapped import Tapped


@dataclass(kw_only=True)
class TorchvisionVictim(Victim):
    """A victim whose network torchvision makes."""

    def inner(self, num_classes: int) -> nn.Module:
        """The classifier without normalisation."""
        raise NotImplementedError

    def network(self, num_classes: int, normalise: Normalise, shape: tuple[int, int, int]) -> Network:
        return Tapped(self.inner(num_classes), normalise, shape)


@dataclass(kw_only=True)
class Torchvision(TorchvisionVictim):
    """Any convolutional classifier of torchvision with a single output, exactly as torchvision builds it.

    Fields:
        name: its name in torchvision, such as resnet50 or densenet121
    """

    name: str = field(default=MISSING)

    def __post_init__(self) -> None:
        from torchvision import models

        known = models.list_models(module=models)
        if self.name not in known:
            raise Refused(
                f"victim.name={self.name}: torchvision has no such classifier. {did_you_mean(self.name, known)}"
            )

    @property
    def label(self) -> str:
        return f"torchvision_{self.name}"

    def inner(self, num_classes: int) -> nn.Module:
        from torchvision import models

        return models.get_model(self.name, num_classes=num_classes)
