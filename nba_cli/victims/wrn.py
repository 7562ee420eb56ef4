"""Wide residual networks (Zagoruyko & Komodakis, BMVC 2016, arXiv:1605.07146)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from nba_cli import domains
from nba_cli.errors import Refused
from nba_cli.victims.base import Network, Normalise, Victim


class Block(nn.Module):
    """Pre-activation basic block: bn-relu-conv3x3-bn-relu-conv3x3, 1x1 shortcut if the width changes."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, 1, 1, bias=False)
        same = width_in == width_out and stride == 1
        self.convShortcut = None if same else nn.Conv2d(width_in, width_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(activated)
        return shortcut + self.conv2(F.relu(self.bn2(self.conv1(activated))))


class Stage(nn.Module):
    def __init__(self, count: int, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        blocks = [Block(width_in if i == 0 else width_out, width_out, stride if i == 0 else 1) for i in range(count)]
        self.layer = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNetwork(Network):
    """Three stages of (depth - 4) / 6 blocks, 16k-32k-64k channels; names as in the widely used PyTorch port."""

    def __init__(self, depth: int, width: int, num_classes: int, normalise: Normalise) -> None:
        super().__init__()
        count = (depth - 4) // 6
        self.normalise = normalise
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.block1 = Stage(count, 16, 16 * width, 1)
        self.block2 = Stage(count, 16 * width, 32 * width, 2)
        self.block3 = Stage(count, 32 * width, 64 * width, 2)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.fc = nn.Linear(64 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def stages(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        first = self.block1(self.conv1(self.normalise(x)))
        second = self.block2(first)
        third = self.block3(second)
        pooled = F.relu(self.bn1(third)).mean((2, 3))
        return [first, second, third], self.fc(pooled)


@dataclass(kw_only=True)
class WideResNet(Victim):
    """Wide residual network WRN-depth-width with a CIFAR stem.

    Fields:
        depth: number of layers, 6n + 4 (10, 16, 22, 28, 40 ...)
        width: widening factor, 1 or more
    """

    depth: int = domains.within(16, "[10,1000]")
    width: int = domains.within(1, "[1,1000000]")

    def __post_init__(self) -> None:
        domains.check(self, "victim")
        if self.depth % 6 != 4:
            raise Refused(
                f"victim.depth={self.depth}: a wide residual network has 6n + 4 layers: 10, 16, 22, 28, 40 ..."
            )

    @property
    def label(self) -> str:
        return f"wrn_{self.depth}_{self.width}"

    def network(self, num_classes: int, normalise: Normalise, shape: tuple[int, int, int]) -> Network:
        return WideResNetwork(self.depth, self.width, num_classes, normalise)
