"""One step down a loss: the optimizers of a training, and all the state that a checkpoint has to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nba_cli.ranks import ALONE, Ranks
from nba_cli.training.plan import Plan


@dataclass(frozen=True)
class Partner:
    """What is trained beside the model by the same loss, with an optimizer of its own: an attack's generators.

    The optimizer's own learning rate is the peak of the plan's schedule.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer


class Descent:
    """The optimizer of `model`, that of its partner, the gradient scaler of fp16 and the average of the weights.

    `state` names all of them. `weights` is the module whose weights are the result: the average if one is kept.
    """

    def __init__(self, model: nn.Module, plan: Plan, dtype: torch.dtype, partner: Partner | None = None) -> None:
        device = next(model.parameters()).device
        self.model, self.clip = model, plan.clip
        self.optimizers = [plan.optimize(model.parameters(), device)]
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.state: dict[str, Any] = {"model": model, "optimizer": self.optimizers[0], "scaler": self.scaler}
        if partner is not None:
            self.optimizers.append(partner.optimizer)
            self.state |= {"partner": partner.module, "partner_optimizer": partner.optimizer}
            partner.module.train()
        self.peaks = [optimizer.defaults["lr"] for optimizer in self.optimizers]
        self.average: AveragedModel | None = None
        if plan.average is not None:
            average = get_ema_multi_avg_fn(plan.average)
            self.average = self.state["average"] = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
        self.weights: nn.Module = model if self.average is None else self.average.module

    def step(self, loss: Tensor, rate: float, weight: float = 1.0, ranks: Ranks = ALONE) -> None:
        """One step of every optimizer down `loss`, at the share `rate` of its peak learning rate.

        With several ranks, down the sum of `weight` times `loss` over them. The norm of the model's gradient is
        clipped, not that of its partner's.
        """
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
            optimizer.zero_grad()
        # weighted before and not after: SyncBatchNorm's backward pass adds up what the losses of all ranks ask for
        self.scaler.scale(loss if ranks.size == 1 else weight * loss).backward()
        if ranks.size > 1:
            groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
            add_up([parameter for group in groups for parameter in group["params"]], ranks)
        if self.clip is not None:
            self.scaler.unscale_(self.optimizers[0])
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        for optimizer in filter(has_gradients, self.optimizers):  # the scaler takes no others
            self.scaler.step(optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def finish(self) -> None:
        """Give the model the weights that are the result."""
        if self.average is not None:
            self.model.load_state_dict(self.weights.state_dict())


def has_gradients(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it has anything to do: an attack's generators may have no part in a small batch."""
    return any(each.grad is not None for group in optimizer.param_groups for each in group["params"])


def add_up(parameters: Sequence[nn.Parameter], ranks: Ranks) -> None:
    """Put the sum of a gradient over `ranks` in the place of each, by one collective.

    What no rank has a gradient of keeps none: an optimizer leaves it alone, which for a gradient of 0 it does not.
    """
    mine = [parameter.grad is not None for parameter in parameters]
    grads = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    has = grads[0].new_ones(len(mine))
    if not all(mine):  # the rare case, which waits for the device
        has = torch.tensor(mine).to(has)
    flat = ranks.sum(torch.cat([has, *(grad.flatten() for grad in grads)]))
    somewhere = mine if all(mine) else (flat[: len(mine)] > 0).tolist()
    totals = flat[len(mine) :].split([grad.numel() for grad in grads])
    for parameter, grad, total, any_has in zip(parameters, grads, totals, somewhere, strict=True):
        parameter.grad = grad.copy_(total.view_as(grad)) if any_has else None
