"""Networks that torchvision builds, as victims. Parameter names are torchvision's own.

torchvision is imported where a network is built or looked for, here and in what derives from this: it takes nearly as
long to import as PyTorch, and most runs do without it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from omegaconf import MISSING
from torch import nn

from nba_cli.errors import Refused, did_you_mean
from nba_cli.victims.base import Network, Normalise, Victim
from nba_cli.victims.probe import first_line
from nba_cli.victims.tapped import Tapped

SIZES: dict[str, Callable[[tuple[int, int]], Any]] = {
    "image_size": lambda size: size[0],  # of ViT, square; another image is refused by its first pass
    "input_size": lambda size: size,  # of MaxViT
}
"""What constructors call the size of their images -> it, of (H,W)."""


def classifiers() -> list[str]:
    """The names of torchvision's classifiers, such as resnet50."""
    from torchvision import models

    return models.list_models(module=models)


@dataclass(kw_only=True)
class TorchvisionVictim(Victim):
    """A victim whose network torchvision makes."""

    def inner(self, num_classes: int, size: tuple[int, int]) -> nn.Module:
        """The classifier of images of `size` (H,W), without normalisation."""
        raise NotImplementedError

    def network(self, num_classes: int, normalise: Normalise, shape: tuple[int, int, int]) -> Network:
        return Tapped(self.inner(num_classes, shape[1:]), normalise, shape)


@dataclass(kw_only=True)
class Torchvision(TorchvisionVictim):
    """Any convolutional classifier or vision transformer of torchvision with a single output, as torchvision builds it.

    Those that are built for one size of images (vit_b_16, maxvit_t ...) are built for that of the data set.

    Fields:
        name: its name in torchvision, such as resnet50, densenet121, vit_b_16 or swin_t
    """

    name: str = field(default=MISSING)

    def __post_init__(self) -> None:
        known = classifiers()
        if self.name not in known:
            raise Refused(
                f"victim.name={self.name}: torchvision has no such classifier. {did_you_mean(self.name, known)}"
            )

    @property
    def label(self) -> str:
        return f"torchvision_{self.name}"

    def inner(self, num_classes: int, size: tuple[int, int]) -> nn.Module:
        from torchvision import models

        made = get_type_hints(models.get_model_builder(self.name))["return"]
        wanted = {name: of(size) for name, of in SIZES.items() if name in inspect.signature(made).parameters}
        try:
            return models.get_model(self.name, num_classes=num_classes, **wanted)
        except (AssertionError, ValueError) as error:
            raise Refused(f"victim: images of {size[0]}x{size[1]} do not fit it ({first_line(error)}).") from error
