"""Poisoned sets and triggered images, made of any attack."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from attacks.base import Attack
from nba_cli import seeds
from nba_cli.data import Data, scaled_batch
from nba_cli.errors import Refused

BATCH = 2048  # images of 32x32


@torch.no_grad()
def materialise(
    change: Callable[[Tensor, Tensor], Tensor], images: Tensor, index: Tensor, batch: int = BATCH
) -> Tensor:
    """uint8 [N,C,H,W] -> `change` of them as uint8, rounded to 8 bits, because a poisoned image is a file.

    `batch` counts images of 32x32; larger ones are taken fewer at a time.
    """
    if not len(index):
        return images.clone()
    batch = scaled_batch(batch, images)
    chunks = [
        change(part.float() / 255, where).mul(255).round().clamp(0, 255).to(torch.uint8)
        for part, where in zip(images.split(batch), index.split(batch), strict=True)
    ]
    return torch.cat(chunks)


def stamped(attack: Attack, images: Tensor, index: Tensor, *, train: bool = False, batch: int = BATCH) -> Tensor:
    """Triggered images as images, uint8 -> uint8: poisoned training sets and triggered test sets alike."""
    return materialise(partial(attack.stamp, train=train), images, index, batch)


def poisoned_index(attack: Attack, train: Data, num_classes: int, seed: int) -> Tensor:
    """Which images of a training set are poisoned, int64 [P], by `seed`."""
    return attack.choose(train.labels, num_classes, seeds.generator(seed, "poison"))


def changed_index(attack: Attack, train: Data, num_classes: int, seed: int) -> Tensor:
    """Which images of a training set the attacker changes, int64: the poisoned ones and the noise images.

    Raises:
        Refused: the attack changes images in every batch.
    """
    index = poisoned_index(attack, train, num_classes, seed)
    if attack.rate and not len(index):
        raise Refused(
            "dataset.clean_disjoint=true: this attack poisons images in every batch, so it leaves no image alone."
        )
    return torch.cat([index, noise_index(attack, train, index, seed)])


def noise_index(attack: Attack, train: Data, index: Tensor, seed: int) -> Tensor:
    """The noise images beside the poisoned `index`, int64, by `seed`."""
    return attack.noise_images(index, len(train), seeds.generator(seed, "bystanders"))


def poison(attack: Attack, train: Data, index: Tensor, num_classes: int, seed: int) -> Data:
    """The poisoned copy of a training set on the CPU; `seed` draws the noise images.

    Images are changed a batch at a time, because the poisoned share of a large set is large too.
    """
    poisoned, batch = train.copy(), scaled_batch(BATCH, train.images)
    for part in index.split(batch):
        poisoned.images[part] = stamped(attack, train.images[part], part, train=True)
    poisoned.labels[index] = attack.relabel(train.labels[index], num_classes)
    for part in noise_index(attack, train, index, seed).split(batch):
        poisoned.images[part] = materialise(attack.stamp_noise, train.images[part], part)
    return poisoned
