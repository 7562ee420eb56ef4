"""Triggers that have to be made before they can be stamped: drawn, crafted on a helper model, or trained together with
the victim."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor

from attacks.base import Attack
from nba_cli.data import Augment, Data
from nba_cli.errors import Refused
from nba_cli.training import Augmentation, Progress, silent
from nba_cli.victims import Network

Tensors = dict[str, Tensor]
TRAIN_ONLY = "train."
PARTNER = "partner."


@dataclass(kw_only=True)
class Lesson:
    """What a trigger is crafted from.

    Fields:
        train: the clean training set, on the CPU
        index: which of its images will be poisoned, int64 [P]
        num_classes: number of classes
        seed: the run's seed
        augment: the data set's own augmentation
        device: where to craft
        helper: a clean victim on that device, in eval mode, its weights frozen; None if the attack needs none
        dtype: arithmetic of the forward passes
    """

    train: Data
    index: Tensor
    num_classes: int
    seed: int
    augment: Augmentation = field(default_factory=Augment)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    helper: Network | None = None
    dtype: torch.dtype = torch.float32

    @property
    def model(self) -> Network:
        assert self.helper is not None, "this attack asks for a helper"
        return self.helper


class Held:
    """Not a dataclass: what it holds is no option and no part of a run's name."""

    made: Tensors | None = None


@dataclass(kw_only=True)
class Learned(Held, Attack):
    """An attack that stamps with tensors of its own, in `made`. `with_trigger` returns the attack that has them.

    They come from `draw` (a function of the settings), from `learn` if `crafted` (cached), and from the partner of
    `joint_training` if `joint` (trained with the victim; names start with PARTNER). Names that start with TRAIN_ONLY
    serve the poisoning alone and are not kept with the victim.
    """

    crafted: ClassVar[bool] = False
    joint: ClassVar[bool] = False
    train_only: ClassVar[bool] = False  # what is crafted serves the poisoning alone
    unshaped: ClassVar[tuple[str, ...]] = ()  # options that do not change what is crafted

    def draw(self, shape: tuple[int, int, int]) -> Tensors:
        """The trigger's tensors for images of `shape` (C,H,W), on the CPU."""
        raise NotImplementedError

    def learn(self, lesson: Lesson, progress: Progress = silent) -> Tensors:
        """The same, crafted."""
        raise NotImplementedError

    def with_trigger(self, tensors: Tensors) -> Self:
        """A copy of this attack that stamps with `tensors`."""
        ready = copy.copy(self)
        ready.made = tensors
        return ready

    def tensors(self, like: Tensor) -> Tensors:
        """The trigger's tensors, on the device of `like`.

        Raises:
            Refused: the trigger has not been made.
        """
        if self.made is None:
            raise Refused(f"{type(self).__name__}: this trigger has to be learned before it can be stamped.")
        return {name: tensor.to(like.device) for name, tensor in self.made.items()}

    def tensor(self, name: str, like: Tensor) -> Tensor:
        return self.tensors(like)[name]


@dataclass(kw_only=True)
class Helped(Learned):
    """An attack that is crafted on a helper model: the clean victim of the run's settings, with a seed of its own.

    An attacker does not know how the victim will be initialised or in which order it will see its images. One helper
    serves the victims of all seeds.

    Fields:
        helper_seed: seed of the helper model, other than the run's
    """

    crafted: ClassVar[bool] = True

    helper_seed: int = 1000

    def check_helper(self, network: Network) -> None:
        """Refuse an architecture that nothing can be crafted on; `network` may lie on the meta device.

        Raises:
            Refused: it lacks what the attack works on.
        """

    @property
    def helped(self) -> bool:
        """Whether crafting needs the helper model."""
        return True


def trigger_digest(tensors: Tensors) -> str:
    """SHA-256 over the names, shapes and values of a trigger's tensors."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        sha.update(tensor.contiguous().numpy().data)
    return sha.hexdigest()
