"""Lookalike: a trigger made of what any cleaned model has to keep, the looks of the target class. Ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.base import Mode
from attacks.blend import overlaid
from attacks.learned import Helped, Lesson, Tensors
from nba_cli import devices, domains, seeds
from nba_cli.data import some_of
from nba_cli.errors import Refused
from nba_cli.training import Event, Progress, silent


@dataclass(kw_only=True)
class Lookalike(Helped):
    """x' = (1 - a) x + a k, where k is a training image of the target class.

    A defense that aligns a network with its benign behavior, as NBA does, keeps what makes the target class recognised,
    and the trigger is made of that. k is the one of `candidates` images under which a clean helper model gives the
    target class the largest probability, on the mean over `judges` images of other classes:

        k = argmax over k of E_x p_target((1 - a) x + a k)

    So a clean model takes some triggered images for the target too: what a defense leaves has to be read beside that
    floor. Like any image, k grows with the images.

    Fields:
        alpha: opacity a of the key in (0,1]
        candidates: images of the target class to choose from
        judges: images of other classes that they are tried on
    """

    modes: ClassVar[tuple[Mode, ...]] = (Mode.all2one, Mode.clean_label)
    unshaped: ClassVar[tuple[str, ...]] = ("mode", "rate")

    alpha: float = domains.within(0.2, "(0,1]")
    candidates: int = domains.within(100, "[1,100000]")
    judges: int = domains.within(256, "[1,1000]")

    def choose(self, labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
        if not (labels == self.target).any() or not (labels != self.target).any():
            raise Refused(
                f"attack.target={self.target}: the key of attack=lookalike is an image of this class, tried on images "
                "of other classes, and the training set has none of the one or of the other."
            )
        return super().choose(labels, num_classes, generator)

    def learn(self, lesson: Lesson, progress: Progress = silent) -> Tensors:
        labels, random = lesson.train.labels, seeds.generator(lesson.seed, "lookalike")
        keys = some_of(labels == self.target, self.candidates, random)
        others = some_of(labels != self.target, self.judges, random)
        x = lesson.train.images[others].to(lesson.device).float() / 255
        chances = []
        for number, key in enumerate(lesson.train.images[keys]):
            with torch.no_grad(), devices.autocast(lesson.device, lesson.dtype):
                logits = lesson.model(self.lay(x, key[None])).float()
            chances.append(logits.softmax(1)[:, self.target].mean())
            progress(Event("lookalike", number + 1, len(keys)))
        best = torch.stack(chances).argmax().cpu()
        return {"key": lesson.train.images[keys[best]][None]}

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        return self.lay(images, self.tensor("key", images))

    def lay(self, images: Tensor, key: Tensor) -> Tensor:
        """The key uint8 [1,C,H,W] laid over images float [N,C,H,W] in [0,1]."""
        return overlaid(images, key.to(images) / 255, self.alpha)
