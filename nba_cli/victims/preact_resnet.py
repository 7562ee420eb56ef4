"""Pre-activation residual networks (He et al., ECCV 2016, arXiv:1603.05027) with a CIFAR stem."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from nba_cli.victims.base import Network, Normalise, Victim


class Block(nn.Module):
    """bn-relu-conv3x3-bn-relu-conv3x3; the 1x1 shortcut takes the activated input."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width_out)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride != 1 or width_in != width_out:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width_out, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        return shortcut + self.conv2(F.relu(self.bn2(self.conv1(activated))))


class PreActNetwork(Network):
    """Four stages of two blocks, 64-128-256-512 channels; parameter names as in the widely used CIFAR port."""

    def __init__(self, num_classes: int, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
        self.linear = nn.Linear(512, num_classes)

    def stages(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        x = self.conv1(self.normalise(x))
        stages = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            stages.append(x)
        return stages, self.linear(x.mean((2, 3)))


@dataclass(kw_only=True)
class PreActResNet18(Victim):
    """Pre-activation ResNet-18 with a CIFAR stem: the victim of most public backdoor tables."""

    @property
    def label(self) -> str:
        return "preact_resnet18"

    def network(self, num_classes: int, normalise: Normalise, shape: tuple[int, int, int]) -> Network:
        return PreActNetwork(num_classes, normalise)
