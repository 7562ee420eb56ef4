"""torchvision's MobileNetV2 for small images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from nba_cli.victims.torchvision import TorchvisionVictim


@dataclass(kw_only=True)
class MobileNetV2(TorchvisionVictim):
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

    def inner(self, num_classes: int, size: tuple[int, int]) -> nn.Module:
        from torchvision import models

        net = models.MobileNetV2(num_classes=num_classes, inverted_residual_setting=self.SETTING)
        net.features[0][0].stride = (1, 1)  # type: ignore[index,union-attr]
        return net
