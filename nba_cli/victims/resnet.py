"""torchvision's residual networks with a CIFAR stem: small images keep their resolution at first."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from nba_cli.errors import Refused
from nba_cli.victims.torchvision import TorchvisionVictim


def cifar_resnet(depth: int, num_classes: int) -> nn.Module:
    """torchvision's resnet18 or resnet34 with a 3x3 stem of stride 1 and no max pooling."""
    from torchvision import models

    net = {18: models.resnet18, 34: models.resnet34}[depth](num_classes=num_classes)
    net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = nn.Identity()  # type: ignore[assignment]
    return net


@dataclass(kw_only=True)
class ResNet(TorchvisionVictim):
    """Residual network (He et al., CVPR 2016, arXiv:1512.03385), CIFAR stem.

    Fields:
        depth: 18 or 34
    """

    depth: int = 18

    def __post_init__(self) -> None:
        if self.depth not in (18, 34):
            raise Refused(
                f"victim.depth={self.depth}: with a CIFAR stem there are 18 and 34. Others: victim=torchvision."
            )

    @property
    def label(self) -> str:
        return f"resnet{self.depth}"

    def inner(self, num_classes: int, size: tuple[int, int]) -> nn.Module:
        return cifar_resnet(self.depth, num_classes)
