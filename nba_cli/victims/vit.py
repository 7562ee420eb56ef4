"""A small vision transformer for small images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from nba_cli import domains
from nba_cli.errors import Refused
from nba_cli.victims.torchvision import TorchvisionVictim


@dataclass(kw_only=True)
class ViTTiny(TorchvisionVictim):
    """ViT-Ti (Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; this width by Touvron et al., ICML 2021): 192 features
    in 3 heads.

    torchvision's VisionTransformer, for the data set's images. Ours: patches of 4x4, which make 8x8 tokens of a 32x32
    image, and a small random classifier, where torchvision starts from zero.

    Fields:
        patch: side of a patch in pixels; it has to divide that of the images
        depth: number of blocks
    """

    patch: int = domains.within(4, "[1,1024]")
    depth: int = domains.within(12, "[3,100]")  # the last one makes no stage, and there are to be two

    def __post_init__(self) -> None:
        domains.check(self, "victim")

    @property
    def label(self) -> str:
        return "vit_tiny"

    def inner(self, num_classes: int, size: tuple[int, int]) -> nn.Module:
        from torchvision import models

        if size[0] != size[1] or size[0] % self.patch or size[0] == self.patch:
            raise Refused(
                f"victim.patch={self.patch}: images of {size[0]}x{size[1]} are not divided into such squares. Choose a "
                "divisor of their side, and dataset.size=… where they are no squares."
            )
        net = models.VisionTransformer(size[0], self.patch, self.depth, 3, 192, 768, num_classes=num_classes)
        nn.init.trunc_normal_(net.heads.get_parameter("head.weight"), std=0.02)
        return net
