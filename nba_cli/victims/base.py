"""What every victim architecture offers: logits and stage features from one forward pass, normalisation inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nba_cli.data import Data, scaled_batch
from nba_cli.errors import Refused


class Normalise(nn.Module):
    """(x - mean) / std per channel, as a part of the model: whoever has the weights has the right input scale."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float().reshape(1, -1, 1, 1))
        self.register_buffer("std", std.float().reshape(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Network(nn.Module):
    """A classifier of images float [N,C,H,W] in [0,1].

    Subclasses implement `stages`; parameter names are the public ones of the architecture, so that weights from
    elsewhere fit.
    """

    watch: Callable[[Tensor], None] | None = None
    """Is shown the logits of every pass, of this network and of its copies."""

    def stages(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """What `features` gives, by arithmetic alone: this is what gets compiled."""
        raise NotImplementedError

    @property
    def convolutional(self) -> bool:
        """Whether its stages are what convolutions put out; those of a transformer are made of tokens."""
        return True

    def features(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The outputs of all stages, each [N,C_l,H_l,W_l] from shallow to deep, and the logits [N,K]."""
        found = self.stages(x)
        if self.watch is not None:
            self.watch(found[1])
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[1]

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile what `forward` and `features` share, in place, as `torch.compile` does; copies are not compiled."""
        self.stages = torch.compile(self.stages, *args, **options)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "stages"}


def channel_statistics(images: Tensor, batch: int = 10000) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel [C] of uint8 [N,C,H,W], in units of [0,1].

    From histograms: exact, whatever the batch, and without a copy of the whole set. A constant channel gets std 1.
    """
    seen = torch.zeros(images.shape[1], 256, dtype=torch.int64, device=images.device)
    for part in images.split(scaled_batch(batch, images)):
        seen += torch.stack([channel.flatten().bincount(minlength=256) for channel in part.unbind(1)])
    counts = seen.double()
    levels = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    total = counts.sum(1)
    mean = (counts * levels).sum(1) / total
    std = ((counts * (levels - mean[:, None]) ** 2).sum(1) / total).sqrt()
    return mean, torch.where(std > 0, std, 1.0)


def given(name: str, values: list[float] | None, measured: Tensor) -> Tensor:
    """`values` if the user set them, else what was measured, [C].

    Raises:
        Refused: another number of channels, or a standard deviation that is not above 0.
    """
    if values is None:
        return measured
    if len(values) != len(measured) or (name == "std" and min(values) <= 0):
        raise Refused(f"victim.{name}={values}: {len(measured)} values are needed, one a channel; std above 0.")
    return torch.tensor(values, dtype=measured.dtype)


@dataclass(kw_only=True)
class Victim:
    """An architecture and its settings; `build` makes the network.

    Fields:
        mean: channel means in [0,1] that inputs are normalised by; null: those of the training set
        std: channel standard deviations, above 0; null: those of the training set
    """

    version: ClassVar[int] = 1

    mean: list[float] | None = None
    std: list[float] | None = None

    @property
    def label(self) -> str:
        """The name in folders and tables, such as wrn_16_1."""
        raise NotImplementedError

    def network(self, num_classes: int, normalise: Normalise, shape: tuple[int, int, int]) -> Network:
        """A freshly initialised network for images of `shape` (C,H,W); randomness from torch's global state."""
        raise NotImplementedError

    def build(self, num_classes: int, train: Data, seed: int = 0) -> Network:
        """A network initialised by `seed`, normalising with the channel statistics of `train`.

        The global random state is left as it was.
        """
        mean, std = channel_statistics(train.images)
        mean, std = given("mean", self.mean, mean), given("std", self.std, std)
        shape = (train.images.shape[1], train.images.shape[2], train.images.shape[3])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.network(num_classes, Normalise(mean, std), shape)
        return network.to(memory_format=torch.channels_last)

    def blank(self, num_classes: int, shape: tuple[int, int, int]) -> Network:
        """A network for images of `shape` (C,H,W), whose weights and statistics are still to be loaded."""
        black = torch.zeros(1, *shape, dtype=torch.uint8, device="cpu")  # though all else may go to the meta device
        return self.build(num_classes, Data(black, torch.zeros(1, dtype=torch.int64, device="cpu")))
