"""Victim architectures by name. A new one is a class, a YAML in conf/victim/ and a line here."""

from nba_cli.victims.base import Network, Normalise, Victim
from nba_cli.victims.mobilenet import MobileNetV2
from nba_cli.victims.preact_resnet import PreActResNet18
from nba_cli.victims.resnet import ResNet
from nba_cli.victims.tapped import Tapped, wrap
from nba_cli.victims.torchvision import Torchvision, classifiers
from nba_cli.victims.vgg import VGG
from nba_cli.victims.vit import ViTTiny
from nba_cli.victims.wrn import WideResNet

VICTIMS: dict[str, type[Victim]] = {
    "wrn": WideResNet,
    "preact_resnet18": PreActResNet18,
    "resnet": ResNet,
    "vgg": VGG,
    "mobilenet_v2": MobileNetV2,
    "vit_tiny": ViTTiny,
    "torchvision": Torchvision,
}

__all__ = [
    "VGG",
    "VICTIMS",
    "MobileNetV2",
    "Network",
    "Normalise",
    "PreActResNet18",
    "ResNet",
    "Tapped",
    "Torchvision",
    "ViTTiny",
    "Victim",
    "WideResNet",
    "classifiers",
    "wrap",
]
