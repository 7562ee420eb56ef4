"""What every attack shares: which images it poisons, what it does to them, and what it wants the victim to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import torch
from torch import Tensor

from nba_cli import domains
from nba_cli.data import some_of
from nba_cli.errors import Refused
from nba_cli.training import Objective, Partner


class Mode(Enum):
    """What the attacker wants of a triggered image.

    all2one: class `target`, whatever the image shows (Gu et al. 2017).
    all2all: its true class plus one, cyclically (Gu et al. 2017).
    clean_label: class `target`, reached without changing a label: only images of `target` are poisoned
    (Turner et al. 2019).
    """

    all2one = "all2one"
    all2all = "all2all"
    clean_label = "clean_label"


@dataclass(kw_only=True)
class Attack:
    """A data-poisoning backdoor attack. Subclasses implement `stamp`; their fields are their config schema.

    Fields:
        mode: all2one, all2all or clean_label
        target: the class that a triggered image is to be taken for, from 0
        rate: poisoned share in (0,1], of the whole training set; of the target class when mode=clean_label
    """

    version: ClassVar[int] = 1
    modes: ClassVar[tuple[Mode, ...]] = tuple(Mode)

    mode: Mode = Mode.all2one
    target: int = 0
    rate: float = 0.1

    def __post_init__(self) -> None:
        domains.check(self, "attack")
        self.check_rate()
        if self.target < 0:
            raise Refused(f"attack.target={self.target}: classes count from 0.")
        if self.mode not in self.modes:
            fitting = ", ".join(mode.value for mode in self.modes)
            raise Refused(f"attack.mode={self.mode.value}: this attack works as {fitting} only.")

    def check_rate(self) -> None:
        """Refuse an impossible poison rate.

        Raises:
            Refused: it lies outside (0,1].
        """
        if not 0 < self.rate <= 1:
            raise Refused(f"attack.rate={self.rate}: a poison rate lies in (0,1]. For a clean victim use attack=none.")

    def check(self, num_classes: int, shape: tuple[int, int, int] | None = None) -> None:
        """Refuse what does not suit a data set with so many classes and, where given, images of this shape (C,H,W).

        Raises:
            Refused: `target` is not a class, or the trigger does not fit the images.
        """
        if self.target >= num_classes:
            raise Refused(f"attack.target={self.target}: the data set has classes 0 to {num_classes - 1}.")

    def identity(self) -> str:
        """What the trigger is made of beside the options: the digest of a file that one of them names, else empty."""
        return ""

    def choose(self, labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
        """Draw the images to poison: int64 [P], ascending, from labels int64 [N] on the CPU.

        all2one never draws from the target class, whose images have the wanted label already.

        Raises:
            Refused: `target` is not a class, or the rate asks for more images than there are.
        """
        self.check(num_classes)
        wanted = self.mode is Mode.clean_label
        candidates = torch.ones_like(labels, dtype=torch.bool)
        if self.mode is not Mode.all2all:
            candidates = (labels == self.target) == wanted
        most = int(candidates.sum())
        count = round(self.rate * (most if wanted else len(labels)))
        if count > most:
            raise Refused(
                f"attack.rate={self.rate} asks for {count} poisoned images, but only {most} "
                f"can be poisoned with mode={self.mode.value}, target={self.target}."
            )
        if count == 0:
            raise Refused(f"attack.rate={self.rate} of {len(labels)} images poisons none of them. Raise the rate.")
        return some_of(candidates, count, generator).sort().values

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        """Apply the trigger: float [N,C,H,W] in [0,1] -> the same, input untouched, differentiable.

        `index` int64 [N] says which images of the set these are: per-image randomness comes from it, so batching
        never changes a pixel. `train` selects the strength where training and test differ, never the formula.
        """
        raise NotImplementedError

    def noise_images(self, index: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """The images that `stamp_noise` changes and that keep their label: int64, ascending.

        None of them is of the poisoned `index`; `count` is the size of the training set.
        """
        return index[:0]

    def stamp_noise(self, images: Tensor, index: Tensor) -> Tensor:
        """What noise images get instead of the trigger. Shapes and range as in `stamp`."""
        return images

    def joint_training(
        self, channels: int, num_classes: int, seed: int, device: torch.device
    ) -> tuple[Objective, Partner | None] | None:
        """The objective of the victim's training and, where one is trained beside it, a module that becomes a part of
        the trigger.

        None where poisoning the data is all there is.
        """
        return None

    def goal(self, labels: Tensor, num_classes: int) -> Tensor:
        """What the attacker wants triggered images of these true classes to be taken for: int64 [N] -> [N]."""
        if self.mode is Mode.all2all:
            return (labels + 1) % num_classes
        return torch.full_like(labels, self.target)

    def meant_for(self, labels: Tensor, num_classes: int) -> Tensor:
        """The test images that are triggered: int64 [P], ascending, those of true classes `labels` int64 [N] whose goal
        is another one.
        """
        return (self.goal(labels, num_classes) != labels).nonzero().flatten()

    def relabel(self, labels: Tensor, num_classes: int) -> Tensor:
        """Labels that poisoned training images get: the goal, or their own for a clean-label attack."""
        return labels if self.mode is Mode.clean_label else self.goal(labels, num_classes)
