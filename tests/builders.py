"""What tests make: tiny images that a small network learns in seconds, attacks that can stamp, evidence."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import nn

from attacks import ATTACKS, Attack, BadNets, Learned
from attacks.learned import Lesson
from nba_cli.data import Augment, Data, clean_share
from nba_cli.defenses import Evidence
from nba_cli.pipeline import trigger_cache
from nba_cli.training import Optimizer, Plan
from nba_cli.victims import Network, WideResNet


def tiny_arrays(train: int = 240, test: int = 90, classes: int = 3, side: int = 16) -> dict[str, np.ndarray]:
    """Class k is noise with a bright band at height k: learnable by a convolution, not by a constant."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        labels = np.arange(count) % classes
        images = random.integers(0, 120, (count, side, side, 3))
        for index, label in enumerate(labels):
            top = 1 + label * (side - 2) // classes
            images[index, top : top + 3] += 110
        arrays |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels.astype(np.uint8)}
    return arrays


QUICK: dict[str, dict[str, Any]] = {
    "cl": {"steps": 2},
    "trojan": {"steps": 2, "batch": 8},
    "inputaware": {"mask_epochs": 1.0},
    "refool": {"rounds": 1, "tuning": 1, "candidates": 3, "reflections": 2},
    "lookalike": {"candidates": 3, "judges": 4},
}
"""What makes a crafted trigger in no time."""


def made(name: str, images: torch.Tensor, **settings: Any) -> Attack:
    """An attack of the registry that can stamp `images` (float [N,C,H,W]); a learned trigger is made in no time."""
    attack = ATTACKS[name](**settings)
    if not isinstance(attack, Learned):
        return attack
    shape = (images.shape[1], images.shape[2], images.shape[3])
    if attack.crafted:
        attack = ATTACKS[name](**{**QUICK[name], **settings})
        assert isinstance(attack, Learned)
        spared = min(3, len(images) - 1) if name == "refool" else 0
        attack = attack.with_trigger(attack.learn(lesson(images, spared)))
    else:
        attack = attack.with_trigger(attack.draw(shape))
    if attack.joint:
        joint = attack.joint_training(shape[0], 3, 0, torch.device("cpu"))
        assert joint is not None and joint[1] is not None
        return trigger_cache.add_partner(attack, joint[1])
    return attack


def lesson(images: torch.Tensor, spared: int = 0) -> Lesson:
    """An untrained helper, and all `images` to be poisoned but the last `spared`, which refool wants to judge by."""
    data = Data((images * 255).round().to(torch.uint8), torch.arange(len(images)) % 3)
    helper = WideResNet(depth=10).build(3, data).eval().requires_grad_(False)
    return Lesson(train=data, index=torch.arange(len(images) - spared), num_classes=3, seed=0, helper=helper)


ATTACK = BadNets(rate=0.2, target=1)


BRIEF = Plan(steps=3, lr=0.01)


SHORT: dict[str, Any] = {
    "none": {},
    "ft": {"train": Plan(steps=4, lr=0.01)},
    "ft_nad": {"train": BRIEF},
    "ft_nba": {"train": BRIEF},
    "ft_kd": {"train": BRIEF},
    "fp": {"step": 0.2, "train": BRIEF},
    "mcr": {"tune": BRIEF, "train": BRIEF},
    "nad": {"teacher": BRIEF, "student": BRIEF},
    "anp": {"train": Plan(steps=3, lr=0.2, decay=0.0)},
    "argd": {"teacher": BRIEF, "student": BRIEF},
    "ibau": {"train": Plan(steps=2, lr=1e-3, optimizer=Optimizer.adam), "iterations": 2},
    "ftsam": {"train": BRIEF},
    "sau": {"train": Plan(steps=2, lr=1e-4, optimizer=Optimizer.adam), "steps": 2},
    "clp": {},
    "nba": {"teacher": Plan(steps=3, lr=0.01), "student": Plan(steps=3, lr=0.01, clip=1.0)},
}


def evidence(victim: Network, tiny: Data) -> Evidence:
    return Evidence(model=victim, clean=clean_share(tiny, 0.3, 0), num_classes=3, augment=Augment(crop=1, flip=True))


NEEDED: dict[str, dict] = {"torchvision": {"name": "resnet18"}}  # what has no default


def tiny_data() -> Any:
    from nba_cli.data import Data

    return Data(torch.zeros(3, 3, 16, 16, dtype=torch.uint8), torch.arange(3))


def halved(data: Data) -> Data:
    """Every other pixel: for what needs many passes, or fp16 on a CPU that has none of its own."""
    return dataclasses.replace(data, images=data.images[:, :, ::2, ::2].contiguous())


def untrained(tiny: Data, seed: int = 0) -> Network:
    return WideResNet(depth=10).build(3, tiny, seed=seed)


def untrained_evidence(tiny: Data, seed: int = 0) -> Evidence:
    return Evidence(model=untrained(tiny, seed), clean=tiny[torch.arange(60)], num_classes=3, augment=Augment(1, True))


class Scripted(nn.Module):
    """Says the class that the first pixel holds, or what `stamped` makes of it where the corner is stamped."""

    def __init__(self, classes: int, stamped: dict[int, int]) -> None:
        super().__init__()
        self.classes, self.stamped = classes, stamped
        self.unused = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training, "measured in eval mode"
        shown = (x[:, 0, 0, 0] * 255).round().long()
        marked = x[:, 0, -1, -1] == 1
        said = torch.tensor(
            [self.stamped.get(int(c), int(c)) if m else int(c) for c, m in zip(shown, marked, strict=True)]
        )
        return nn.functional.one_hot(said, self.classes).float()


def images_of(labels: list[int]) -> Data:
    images = torch.zeros(len(labels), 3, 6, 6, dtype=torch.uint8)
    images[:, :, 0, 0] = torch.tensor(labels)[:, None].to(torch.uint8)
    return Data(images, torch.tensor(labels))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 2)
        with torch.no_grad():
            self.fc.weight.copy_(torch.linspace(-1, 1, 24).reshape(2, 12))
            self.fc.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1))


def tiny_linear() -> Data:
    images = torch.randint(0, 256, (6, 3, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Data(images, torch.tensor([0, 1, 0, 1, 0, 1]))


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))
