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

from nba_cli.data import Data, hold_out
from nba_cli.defenses._batch_norm import refresh_statistics
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.errors import Refused
from nba_cli.training import Event, Plan, Progress, Schedule, accuracy, fit, silent
from nba_cli.victims import Network

PLACES = tuple(number / 10 for number in range(10, -1, -1))
"""The t that are tried, the fine-tuned end first."""


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
        """The network phi(t), its batch-norm statistics those of `data`, see `refresh_statistics`."""
        network = copy.deepcopy(self.network[0])
        for name, value in self.at(t).items():
            network.get_parameter(name).copy_(value)
        refresh_statistics(network, data, see, dtype)
        return network


@dataclass(kw_only=True)
class MCR(Defense):
    """min_w2 E_{t in [0,1]} CE(f_phi(t)(x), y) over the clean set

    The result is phi(t), see `Curve`, with batch-norm statistics of the clean set, augmented.

    Zhao et al. connect two suspect models, or one and its fine-tuned copy; here w1 is the suspect model and w3 its
    fine-tuned copy. Near t = 0 the curve has the suspect's accuracy and its backdoor: at t = 0.1, a common value for
    two suspects, it is 81 % of the one suspect. Ours: t is the largest multiple of 0.1 at which HOLD-OUT accuracy is
    within `drop` of the suspect's, or the one with the highest accuracy if none is; the fall is what counts, because
    the suspect was trained on the hold-out images too. Cost: one forward and one backward pass a step, for fine-tuning
    and for the curve, and a forward pass over the clean set and the hold-out for each t that is tried.

    Fields:
        t: place on the curve in [0,1], 0 the suspect model and 1 the fine-tuned one; null: chosen on the hold-out
        drop: hold-out accuracy in [0,1] that t may cost
        held: share of the clean set that is held out, in (0,1)
        tune: how long and how hard to fine-tune the end of the curve
        train: how long and how hard to train the bend
    """

    version: ClassVar[int] = 3

    t: float | None = None
    drop: float = 0.02
    held: float = 0.2
    tune: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.05, schedule=Schedule.cosine))
    train: Plan = field(default_factory=lambda: Plan(epochs=100, lr=0.02, schedule=Schedule.cosine))

    def __post_init__(self) -> None:
        if self.t is not None and not 0 <= self.t <= 1:
            raise Refused(f"defense.t={self.t}: a place on the curve lies in [0,1].")
        if not 0 <= self.drop <= 1 or not 0 < self.held < 1:
            raise Refused(f"defense.drop={self.drop}, held={self.held}: drop lies in [0,1], held in (0,1).")

    def backward_images(self, clean: int) -> float:
        trained = clean if self.t is not None else round((1 - self.held) * clean)
        return self.tune.images(trained) + self.train.images(trained)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        common = evidence.training(generator, progress)
        clean, held = (evidence.clean, None) if self.t is not None else hold_out(evidence.clean, self.held, generator)
        end = fit(copy.deepcopy(evidence.model), clean, self.tune, phase="fine-tune", **common)
        curve = Curve(copy.deepcopy(evidence.model).train(), evidence.model, end)

        def objective(curve: Curve, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            logits = curve(x, torch.rand((), generator=generator, device=x.device)).float()
            return F.cross_entropy(logits, y), logits

        fit(curve, clean, self.train, objective, phase="curve", **common)

        def see(images: Tensor) -> Tensor:
            return evidence.augment(images, generator)

        if held is None:
            return curve.point(self.t or 0.0, clean, see, evidence.dtype)
        floor = accuracy(evidence.model, held, evidence.dtype) - self.drop
        points = []
        for number, t in enumerate(PLACES, start=1):  # from the fine-tuned end
            network = curve.point(t, clean, see, evidence.dtype)
            points.append((accuracy(network, held, evidence.dtype), network))
            progress(Event("place", number, len(PLACES), {"t": t, "acc": points[-1][0]}))
            if points[-1][0] >= floor:
                return network
        return max(points, key=lambda pair: pair[0])[1]
