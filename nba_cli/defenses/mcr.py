"""MCR: mode connectivity repair (Zhao, Chen, Das, Ramamurthy & Lin, ICLR 2020, arXiv:2005.00060)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from nba_cli import devices
from nba_cli.data import Data, to_float
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.errors import Refused
from nba_cli.plan import Plan, Schedule
from nba_cli.train import Report, fit, silent
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


@dataclass(kw_only=True)
class MCR(Defense):
    """min_w2 E_{t in [0,1]} CE(f_phi(t)(x), y) over the clean set; the result is phi(`t`) with fresh batch-norm
    statistics.

    w1 is the suspect model, w3 its fine-tuned copy (Zhao et al. connect two suspect models or, as here, one and its
    fine-tuned version). Near t = 0 the curve has the suspect's accuracy, and leaves its backdoor behind. Cost: one
    forward and one backward pass a step, for fine-tuning and for the curve, and a forward pass over the clean set.

    Fields:
        t: place on the curve in [0,1]; 0 is the suspect model, 1 the fine-tuned one
        tune: how long and how hard to fine-tune the end of the curve
        train: how long and how hard to train the bend
    """

    t: float = 0.1
    tune: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.01, schedule=Schedule.cosine))
    train: Plan = field(default_factory=lambda: Plan(steps=400, lr=0.02, schedule=Schedule.cosine))

    def __post_init__(self) -> None:
        if not 0 <= self.t <= 1:
            raise Refused(f"defense.t={self.t}: a place on the curve lies in [0,1].")

    def __call__(self, evidence: Evidence, generator: torch.Generator, report: Report = silent) -> Network:
        common = evidence.training(generator, report)
        end = fit(copy.deepcopy(evidence.model), evidence.clean, self.tune, phase="fine-tune", **common)
        repaired = copy.deepcopy(evidence.model).train()
        curve = Curve(repaired, evidence.model, end)

        def objective(curve: Curve, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            logits = curve(x, torch.rand((), generator=generator, device=x.device)).float()
            return F.cross_entropy(logits, y), logits

        fit(curve, evidence.clean, self.train, objective, phase="curve", **common)
        with torch.no_grad():
            for name, value in curve.at(self.t).items():
                repaired.get_parameter(name).copy_(value)
        refresh(repaired, evidence.clean, evidence.dtype)
        return repaired


@torch.no_grad()
def refresh(model: nn.Module, data: Data, dtype: torch.dtype, batch: int = 250) -> None:
    """Set the running statistics of all batch norms to averages over `data`, unaugmented.

    A last batch of one image is left out: batch norm on maps of one pixel makes nothing of it.
    """
    device = next(model.parameters()).device
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    training = model.training
    model.train()
    count = len(data) - (len(data) % batch == 1)
    with devices.autocast(device, dtype):
        for images in data.images[:count].split(batch):
            model(to_float(images.to(device)))
    model.train(training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
