"""Refool: the reflection of another picture, as behind glass (Liu, Ma, Bailey & Lu 2020, arXiv:2007.02343)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks import _reflection
from attacks._randomness import uniform
from attacks._selection import judges, select
from attacks.base import Mode
from attacks.learned import Helped, Lesson, Tensors
from nba_cli import domains
from nba_cli.errors import Refused
from nba_cli.training import Progress, silent


@dataclass(kw_only=True)
class Refool(Helped):
    """x' = (w x^g + reflection(r^g))^(1/g) with g = 2.2: a reflection r seen in focus, out of focus or as a ghost.

    Three kinds, as in the paper; ghost and out of focus are mixed as in the authors' code, which lacks the third, see
    `attacks._reflection`. Which reflection an image gets, its kind, opacity, width and shift are drawn per image, in
    training and test alike, from (`reflection_seed`, index).

    Adversarial reflection selection (Liu et al., algorithm 1): in each of `rounds` rounds the images to be poisoned get
    reflections drawn by weight, a model learns them, and a reflection's new weight is the share of other classes'
    images that it turns into the target; one that was not drawn gets the median. The `reflections` of the largest
    weights remain. Ours: the model of a round is the helper, fine-tuned for `tuning` steps, instead of one trained from
    scratch; candidates are coloured 1/f textures drawn from a seed instead of photographs of another data set; lengths
    count pixels of the image itself, as in BackdoorBench (the authors enlarge images to 560 pixels, where a blur of 1
    to 5 pixels could not be seen in an image of 32): blurs and shifts do not grow with the images, reflections do.

    Fields:
        rate: poisoned share in (0,1], of the target class when mode=clean_label
        low: smallest opacity of the reflection, in (0,1)
        high: largest opacity, in [low,1)
        candidates: reflections to select from
        reflections: how many of them are used
        rounds: rounds of the selection; 0: the first candidates are taken, without a helper model
        tuning: training steps of a round
        reflection_seed: which candidates, and which one an image gets
    """

    version: ClassVar[int] = 3

    mode: Mode = Mode.clean_label
    rate: float = 0.8
    low: float = domains.within(0.05, "(0,1)")
    high: float = domains.within(0.45, "(0,1)")
    candidates: int = domains.within(200, "[1,100000]")
    reflections: int = domains.within(20, "[1,100000]")
    rounds: int = domains.within(8, "[0,inf)")
    tuning: int = domains.within(100, "[1,inf)")
    reflection_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise Refused(f"attack.low={self.low}, attack.high={self.high}: low must be at most high.")
        if self.reflections > self.candidates:
            raise Refused(
                f"attack.reflections={self.reflections}, attack.candidates={self.candidates}: reflections are chosen "
                "from the candidates; there must be as many of these, or more."
            )

    def choose(self, labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
        index = super().choose(labels, num_classes, generator)
        if self.rounds and not judges(self, labels, index, num_classes).any():
            raise Refused(
                f"attack.rate={self.rate}: leaves no image that reflections could be judged by. Lower it, or set "
                "attack.rounds=0."
            )
        return index

    @property
    def helped(self) -> bool:
        return self.rounds > 0

    def learn(self, lesson: Lesson, progress: Progress = silent) -> Tensors:
        images = lesson.train.images
        shape = (images.shape[1], images.shape[2], images.shape[3])
        bank = _reflection.textures(self.candidates, shape, self.reflection_seed)
        chosen = torch.arange(self.reflections)
        if self.rounds:
            weights = select(self, lesson, bank, progress)
            chosen = weights.topk(self.reflections).indices.sort().values
        return {"reflections": (bank[chosen] * 255).round().to(torch.uint8)}

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        bank = self.tensor("reflections", images)
        chosen = (uniform(index, self.reflection_seed, "reflection") * len(bank)).long()
        return self.lay(images, bank[chosen].to(images) / 255, index)

    def lay(self, images: Tensor, reflections: Tensor, index: Tensor) -> Tensor:
        """Reflections [N,C,H,W] in [0,1] laid over images of the same shape and range."""
        return _reflection.lay(images, reflections, index, self.reflection_seed, self.low, self.high)
