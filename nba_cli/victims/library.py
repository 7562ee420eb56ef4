"""Architectures of torchvision as victims, most of them with a CIFAR stem: small images keep their resolution at first.

Parameter names are torchvision's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from omegaconf import MISSING
from torch import Tensor, nn
from torchvision import models

from nba_cli.errors import Refused, did_you_mean
from nba_cli.victims.base import Network, Normalise, Victim
from nba_cli.victims.tapped import Tapped


def cifar_resnet(depth: int, num_classes: int) -> nn.Module:
    """torchvision's resnet18 or resnet34 with a 3x3 stem of stride 1 and no max pooling."""
    net = {18: models.resnet18, 34: models.resnet34}[depth](num_classes=num_classes)
    net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = nn.Identity()  # type: ignore[assignment]
    return net


class CifarVGG(nn.Module):
    """The feature layers of torchvision's VGG with a single linear layer on the pooled map.

    torchvision's own three-layer classifier holds 120 million parameters for a 1x1 map.
    """

    def __init__(self, depth: int, num_classes: int) -> None:
        super().__init__()
        self.features = models.vgg.make_layers(models.vgg.cfgs[{16: "D", 19: "E"}[depth]], batch_norm=True)
        self.classifier = nn.Linear(512, num_classes)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


@dataclass(kw_only=True)
class LibraryVictim(Victim):
    """A victim whose network torchvision makes."""

    def inner(self, num_classes: int) -> nn.Module:
        """The classifier without normalisation."""
        raise NotImplementedError

    def network(self, num_classes: int, normalise: Normalise, shape: tuple[int, int, int]) -> Network:
        return Tapped(self.inner(num_classes), normalise, shape)


@dataclass(kw_only=True)
class ResNet(LibraryVictim):
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

    def inner(self, num_classes: int) -> nn.Module:
        return cifar_resnet(self.depth, num_classes)


@dataclass(kw_only=True)
class VGG(LibraryVictim):
    """VGG with batch norm (Simonyan & Zisserman, ICLR 2015, arXiv:1409.1556), one linear layer as classifier.

    Fields:
        depth: 16 or 19
    """

    depth: int = 16

    def __post_init__(self) -> None:
        if self.depth not in (16, 19):
            raise Refused(f"victim.depth={self.depth}: there are 16 and 19. Others: victim=torchvision.")

    @property
    def label(self) -> str:
        return f"vgg{self.depth}_bn"

    def inner(self, num_classes: int) -> nn.Module:
        return CifarVGG(self.depth, num_classes)


@dataclass(kw_only=True)
class MobileNetV2(LibraryVictim):
    """MobileNetV2 (Sandler et al., CVPR 2018, arXiv:1801.04381); the first three reductions are left out."""

    SETTING: ClassVar[list[list[int]]] = [  # expansion, channels, repeats, stride: the paper's, but strides 1 at first
        [1, 16, 1, 1],
        [6, 24, 2, 1],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]

    @property
    def label(self) -> str:
        return "mobilenet_v2"

    def inner(self, num_classes: int) -> nn.Module:
        net = models.MobileNetV2(num_classes=num_classes, inverted_residual_setting=self.SETTING)
        net.features[0][0].stride = (1, 1)  # type: ignore[index,union-attr]
        return net


@dataclass(kw_only=True)
class Torchvision(LibraryVictim):
    """Any convolutional classifier of torchvision with a single output, exactly as torchvision builds it.

    Fields:
        name: its name in torchvision, such as resnet50 or densenet121
    """

    name: str = field(default=MISSING)

    def __post_init__(self) -> None:
        known = models.list_models(module=models)
        if self.name not in known:
            raise Refused(
                f"victim.name={self.name}: torchvision has no such classifier. {did_you_mean(self.name, known)}"
            )

    @property
    def label(self) -> str:
        return f"torchvision_{self.name}"

    def inner(self, num_classes: int) -> nn.Module:
        return models.get_model(self.name, num_classes=num_classes)
