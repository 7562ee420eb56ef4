"""ACC, ASR and RA of a victim, and how fast triggers are stamped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from attacks import Attack, BadNets, stamped
from nba_cli import devices, metrics
from nba_cli.data import Data, to_float
from scripts.bench.setting import CLASSES, Setting, noise

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from builders import made

SIZES = (125, 250, 500, 1000)
LEARNED = 64  # images that a crafted trigger is learned from; those of cl have a perturbation for each of them


def forward(at: Setting, size: int) -> Iterator[int]:
    """Bare forward passes over a batch of `size` images that is there already."""
    network, x = at.network().eval(), to_float(noise(size).images.to(at.device))
    while True:
        with torch.inference_mode(), devices.autocast(at.device, at.dtype):
            for _ in range(1000 // size):
                network(x)
        yield 1000 // size * size


def measured(at: Setting, test: Data) -> Iterator[int]:
    """`metrics.measure`: the clean test images, and those that the attack is for with its trigger."""
    network, attack = at.network(), BadNets()
    count = len(test) + int((test.labels != attack.target).sum())
    while True:
        metrics.measure(network, test, attack, CLASSES, at.dtype)
        yield count


def trigger(name: str) -> Attack:
    """An attack that can stamp images of 32x32; one that learns its trigger has learned it badly, in no time."""
    return made(name, to_float(noise(LEARNED).images))


def stamping(attack: Attack, images: torch.Tensor) -> Iterator[int]:
    """Triggered images from images, uint8 -> uint8, as for a poisoned training set: on the CPU, wherever one trains."""
    index = torch.arange(len(images)) % LEARNED
    while True:
        stamped(attack, images, index, train=True)
        yield len(images)
