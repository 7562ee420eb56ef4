"""What a defense sees and what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Self, TypedDict

import torch
from torch import Tensor

from nba_cli import domains
from nba_cli.data import Augment, Data, to_float
from nba_cli.errors import Refused
from nba_cli.modes import in_mode
from nba_cli.training import Compiling, Plan, Progress, silent
from nba_cli.victims import Network, Normalise


class Training(TypedDict):
    """What every training of a defense has in common: keyword arguments of `training.fit`."""

    augment: Callable[[Tensor, torch.Generator], Tensor]
    dtype: torch.dtype
    generator: torch.Generator
    progress: Progress


@dataclass(kw_only=True)
class Evidence:
    """All that a defense may see: no trigger, no test set, no poison flag, no target label.

    Fields:
        model: the suspect network; a defense works on copies of it.
        clean: the defender's small clean set, on the model's device or on the CPU.
        num_classes: number of classes.
        augment: the data set's own augmentation, uint8 [N,C,H,W] -> float in [0,1].
        dtype: arithmetic of the forward passes.
        compiling: whether trainings that pass images through a network as it is may compile it.
    """

    model: Network
    clean: Data
    num_classes: int
    augment: Callable[[Tensor, torch.Generator], Tensor] = field(default_factory=Augment)
    dtype: torch.dtype = torch.float32
    compiling: Compiling = Compiling.off

    def __post_init__(self) -> None:
        """Check that model, clean set and number of classes go together.

        Raises:
            ValueError: they do not.
        """
        if not isinstance(self.model, Network):
            raise ValueError(f"model: a {type(self.model).__name__} is no victim; wrap it: victims.wrap(network, ...)")
        if not len(self.clean):
            raise ValueError("clean: there is no image in it")
        low, high = (int(label) for label in self.clean.labels.aminmax())
        if low < 0 or high >= self.num_classes:
            raise ValueError(
                f"clean: labels from {low} to {high}, but num_classes={self.num_classes}; classes count from 0"
            )
        channels, normalise = self.clean.images.shape[1], getattr(self.model, "normalise", None)
        if isinstance(normalise, Normalise) and normalise.mean.numel() != channels:  # one would pass as three grey ones
            raise ValueError(f"clean: images of {channels} channels, and the model takes {normalise.mean.numel()}")
        if (count := logits_of(self.model, self.clean.images[:1]).shape[1]) != self.num_classes:
            raise ValueError(f"num_classes={self.num_classes}: the model tells {count} classes apart")

    def training(self, generator: torch.Generator, progress: Progress) -> Training:
        return Training(augment=self.augment, dtype=self.dtype, generator=generator, progress=progress)


@torch.no_grad()
def logits_of(model: Network, images: Tensor) -> Tensor:
    """Logits [N,K] of images uint8 [N,C,H,W] in eval mode; the mode of every layer is left as it was.

    Raises:
        ValueError: it cannot take them.
    """
    some = next(model.parameters(), images)
    try:
        with in_mode(model, training=False):
            return model(to_float(images.to(some.device)))
    except RuntimeError as error:
        shape = "x".join(map(str, images.shape[1:]))
        raise ValueError(f"clean: the model does not take images of {shape} ({str(error).splitlines()[0]})") from error


@dataclass(kw_only=True)
class Defense:
    """A way to clean a suspect model. Fields of subclasses are their config schema."""

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        domains.check(self, "defense")

    def check(self, model: Network) -> None:
        """Refuse a network that the method cannot work on.

        `model` may lie on the meta device. Before the data are known it is one for two classes and images of 32x32.

        Raises:
            Refused: it lacks what the method works on.
        """

    def check_clean(self, clean: Data) -> None:
        """Refuse a clean set that is too small for the method.

        Raises:
            Refused: it lacks what the method works with.
        """

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        """Return a cleaned network, in eval mode; `evidence.model` keeps its weights.

        `generator` lives on the model's device and is the only source of randomness.
        """
        raise NotImplementedError

    def backward_images(self, clean: int) -> float:
        """Images passed backward through the network with `clean` images; 0: the method has no length to choose."""
        return 0.0

    def with_budget(self, images: float, clean: int) -> Self:
        """The defense with all of its plans lengthened or shortened alike, so that it passes `images` backward.

        One without plans has no length and stays as it is.

        Raises:
            Refused: it has plans but does not say what they cost.
        """
        values = {option.name: getattr(self, option.name) for option in fields(self)}
        plans = {name: value for name, value in values.items() if isinstance(value, Plan)}
        own = self.backward_images(clean)
        if plans and not own:
            raise Refused("budget=equal: this defense does not say how many images it passes backward.")
        return replace(self, **{name: plan.scaled(images / own) for name, plan in plans.items()})
