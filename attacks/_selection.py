"""Adversarial reflection selection (Liu et al. 2020, algorithm 1): the reflections that attack best."""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import Tensor

from attacks.learned import Lesson
from attacks.poisoning import BATCH, materialise
from nba_cli import seeds
from nba_cli.data import scaled_batch, some_of
from nba_cli.training import Event, Plan, Progress, fit, predict

JUDGED = 2000  # images on which a round's reflections are judged
LEAST = 0.01  # a reflection that never succeeded may still be drawn again


class Reflecting(Protocol):
    """What is needed of the attack."""

    rounds: int
    tuning: int

    def lay(self, images: Tensor, reflections: Tensor, index: Tensor) -> Tensor: ...

    def relabel(self, labels: Tensor, num_classes: int) -> Tensor: ...

    def goal(self, labels: Tensor, num_classes: int) -> Tensor: ...


def judges(attack: Reflecting, labels: Tensor, index: Tensor, num_classes: int) -> Tensor:
    """Which images of a set reflections can be judged by, bool [N]: of other classes than the wanted, and not poisoned.

    What a round's model was trained on shows what it remembers.
    """
    apart = attack.goal(labels, num_classes) != labels
    apart[index] = False
    return apart


def select(attack: Reflecting, lesson: Lesson, bank: Tensor, progress: Progress) -> Tensor:
    """The weight of each reflection of the bank [R,C,H,W]: its success rate in the last round, [R] in [0,1]."""
    random = seeds.generator(lesson.seed, "selection")
    train, num_classes = lesson.train, lesson.num_classes
    apart = judges(attack, train.labels, lesson.index, num_classes)
    weights = torch.ones(len(bank))
    for number in range(attack.rounds):
        drawn = torch.multinomial(weights, len(lesson.index), replacement=True, generator=random)
        poisoned, batch = train.copy(), scaled_batch(BATCH, train.images)
        for part, laid in zip(lesson.index.split(batch), drawn.split(batch), strict=True):
            poisoned.images[part] = reflected(attack, train.images, part, bank, laid)
        poisoned.labels[lesson.index] = attack.relabel(train.labels[lesson.index], num_classes)
        model = fit(
            copy.deepcopy(lesson.model).requires_grad_(True),
            poisoned,
            Plan(steps=attack.tuning, lr=0.01),
            augment=lesson.augment,
            generator=seeds.generator(lesson.seed, f"selection {number}", lesson.device),
            dtype=lesson.dtype,
            phase="selection",
        )
        judged = some_of(apart, JUDGED, random)
        shown_on = drawn[torch.randint(len(drawn), (len(judged),), generator=random)]
        seen = predict(model, reflected(attack, train.images, judged, bank, shown_on), lesson.dtype)
        hits = (seen == attack.goal(train.labels[judged], num_classes)).float()
        weights = rates(hits, shown_on, len(bank))
        progress(Event("selection", number + 1, attack.rounds, {"asr": hits.mean().item()}))
    return weights


def reflected(attack: Reflecting, images: Tensor, index: Tensor, bank: Tensor, drawn: Tensor) -> Tensor:
    """The images `index` of a set with the reflections `drawn` from the bank: uint8 [P,C,H,W]."""
    place = torch.arange(len(index))
    lay = lambda part, where: attack.lay(part, bank[drawn[where]], index[where])  # noqa: E731
    return materialise(lay, images[index], place)


def rates(hits: Tensor, shown_on: Tensor, count: int) -> Tensor:
    """Success rate [count] of each reflection: the mean of `hits` [V] it was `shown_on`, else their median."""
    shown = torch.bincount(shown_on, minlength=count)
    found = torch.bincount(shown_on, weights=hits, minlength=count).float() / shown.clamp_min(1)
    return torch.where(shown > 0, found, found[shown > 0].median()).clamp_min(LEAST)
