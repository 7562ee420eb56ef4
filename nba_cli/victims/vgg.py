"""torchvision's VGG for small images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from nba_cli.errors import Refused
from nba_cli.victims.torchvision import TorchvisionVictim


class CifarVGG(nn.Module):
    """The feature layers of torchvision's VGG with a single linear layer on the pooled map.

    torchvision's own three-layer classifier holds 120 million parameters for a 1x1 map.
    """

    def __init__(self, depth: int, num_classes: int) -> None:
        from torchvision import models

        super().__init__()
        self.features = models.vgg.make_layers(models.vgg.cfgs[{16: "D", 19: "E"}[depth]], batch_norm=True)
        self.classifier = nn.Linear(512, num_classes)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


@dataclass(kw_only=True)
class VGG(TorchvisionVictim):
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

    def inner(self, num_classes: int, size: tuple[int, int]) -> nn.Module:
        return CifarVGG(self.depth, num_classes)
