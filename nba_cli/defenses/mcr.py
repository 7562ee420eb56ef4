"""MCR: mode connectivity repair (Zhao, Chen, Das, Ramamurthy & Lin, ICLR 2020, arXiv:2005.00060)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from nba_cli import domains
from nba_cli.data import Data
from nba_cli.defenses._batch_norm import refresh_statistics
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.training import Plan, Progress, Schedule, fit, silent
from nba_cli.victims import Network


class Curve(nn.Module):
    """phi(t) = (1-t)^2 w1 + 2 t (1-t) w2 + t^2 w3 in the weights of `network`: a quadratic Bezier curve.

    Its parameters are the bend w2, which starts in the middle of w1 and w3.
    """

    def __init__(self, network: Network, start: Network, end: Network) -> None:
        super().__init__()
        self.start, self.end = ({name: value.detach() for name, value in n.named_parameters()} for n in (start, end))
        self.names = {name: name.replace(".", "|") for name in self.start}  # a ParameterDict takes no dots
        middle = {flat: nn.Parameter((self.start[name] + self.end[name]) / 2) for name, flat in self.names.items()}
        self.bend = nn.ParameterDict(middle)
        self.network = [network]  # in a list: its own weights are no parameters of the curve

    def at(self, t: Tensor | float) -> dict[str, Tensor]:
        """The weights phi(t), differentiable in w2."""
        return {
            name: (1 - t) ** 2 * self.start[name] + 2 * t * (1 - t) * self.bend[flat] + t**2 * self.end[name]
            for name, flat in self.names.items()
        }

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return functional_call(self.network[0], self.at(t), (x,))

    @torch.no_grad()
    def point(self, t: float, data: Data, see: Callable[[Tensor], Tensor], dtype: torch.dtype) -> Network:
        """The network phi(t) in eval mode, its batch-norm statistics those of `data`, see `refresh_statistics`."""
        network = copy.deepcopy(self.network[0])
        for name, value in self.at(t).items():
            network.get_parameter(name).copy_(value)
        refresh_statistics(network, data, see, dtype)
        return network.eval()


@dataclass(kw_only=True)
class MCR(Defense):
    """min_w2 E_{t in [0,1]} CE(f_phi(t)(x), y) over the clean set

    The result is phi(t), see `Curve`, with batch-norm statistics of the clean set, augmented.

    Zhao et al. connect two models that were trained apart, and report all places of the curve. A defender has one
    suspect model: w1 is the suspect and w3 its fine-tuned copy, as in BackdoorBench. Ours: the middle is taken, without
    a choice. Near t = 0 lies the suspect (BackdoorBench takes t = 0.1, which is 81 % of it), and hold-out accuracy
    favours places near it, because the suspect was trained on those images. The authors' code repeats its clean images
    until an epoch has 10,000 of them, so its 100 epochs are 7,900 steps; ours, of 2,500 images, are 2,000, augmented.

    Cost: one forward and one backward pass a step, for the end and for the curve, and a forward pass over the clean
    set for the statistics.

    Fields:
        t: place on the curve in [0,1], 0 the suspect model and 1 its fine-tuned copy
        tune: how long and how hard to fine-tune the copy
        train: how long and how hard to train the bend
    """

    version: ClassVar[int] = 5

    t: float = domains.within(0.5, "[0,1]")
    tune: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.05, schedule=Schedule.cosine))
    train: Plan = field(default_factory=lambda: Plan(epochs=100, lr=0.02, schedule=Schedule.cosine))

    def backward_images(self, clean: int) -> float:
        return self.tune.images(clean) + self.train.images(clean)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        common = evidence.training(generator, progress)
        end = fit(
            copy.deepcopy(evidence.model), evidence.clean, self.tune, phase="fine-tune", option="defense.tune", **common
        )
        curve = Curve(copy.deepcopy(evidence.model).train(), evidence.model, end)

        def objective(curve: Curve, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            logits = curve(x, torch.rand((), generator=generator, device=x.device)).float()
            return F.cross_entropy(logits, y), logits

        fit(curve, evidence.clean, self.train, objective, phase="curve", option="defense.train", **common)
        return curve.point(self.t, evidence.clean, lambda images: evidence.augment(images, generator), evidence.dtype)
