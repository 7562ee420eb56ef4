"""The only training loop: victims, fine-tuning, teachers and students all pass through `fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nba_cli import checkpoints, devices
from nba_cli.data.base import Data
from nba_cli.errors import Refused
from nba_cli.plan import Plan, rate_at
from nba_cli.seeds import derive

FETCH_EVERY = 20  # steps between reads of the losses that accumulate on the device

N = TypeVar("N", bound=nn.Module)
Objective = Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(model, x float [B,C,H,W] in [0,1], y int64 [B]) -> (scalar loss, logits [B,K])."""


@dataclass(frozen=True)
class Partner:
    """What is trained beside the model by the same loss, with an optimizer of its own: an attack's generators.

    The optimizer's own learning rate is the peak of the plan's schedule.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer


Snapshot = Callable[[], dict[str, Tensor]]
"""Gives the weights as they are now: of the average where one is kept."""


class Report(Protocol):
    """Write-only channel out of a stage: progress, history and snapshots; nothing comes back."""

    def __call__(
        self,
        phase: str,
        step: int,
        total: int,
        scalars: dict[str, float] | None = None,
        snapshot: Snapshot | None = None,
        /,
    ) -> None: ...


def silent(
    phase: str,
    step: int,
    total: int,
    scalars: dict[str, float] | None = None,
    snapshot: Snapshot | None = None,
    /,
) -> None:
    """A report that goes nowhere."""


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The plain objective."""
    logits = model(x).float()
    return F.cross_entropy(logits, y), logits


def fit(
    model: N,
    data: Data,
    plan: Plan,
    objective: Objective = cross_entropy,
    *,
    augment: Callable[[Tensor, torch.Generator], Tensor],
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    report: Report = silent,
    phase: str = "train",
    checkpoint: Path | None = None,
    partner: Partner | None = None,
) -> N:
    """Train `model` in place on `data` and return it.

    `data` is on the model's device, or on the CPU, from where batches are copied. `generator`, on the model's device,
    feeds the order of images and the augmentation; dropout inside the model is seeded from it too, and torch's global
    state is left as it was. With `checkpoint`, the state is saved there after each epoch and an existing file is
    continued from: the result is the same as without the interruption. A `partner`, already on that device,
    is trained by the same loss.

    Raises:
        Refused: the loss is no longer finite (names the step), or the checkpoint was made on another kind of device.
    """
    device = next(model.parameters()).device
    total, per_epoch = plan.total(len(data)), plan.steps_per_epoch(len(data))
    optimizer = plan.optimize(model.parameters(), device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    state: dict[str, Any] = {"model": model, "optimizer": optimizer, "scaler": scaler}
    optimizers: list[torch.optim.Optimizer] = [optimizer]
    if partner is not None:
        optimizers.append(partner.optimizer)
        state |= {"partner": partner.module, "partner_optimizer": partner.optimizer}
        partner.module.train()
    peaks = [each.defaults["lr"] for each in optimizers]
    if plan.average is not None:
        state["average"] = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(plan.average), use_buffers=True)
    kept = state["average"].module if plan.average is not None else model

    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(derive(generator.initial_seed(), "layers"))
        done, elapsed = checkpoints.restore(checkpoint, state, generator, device) if checkpoint else (0, 0.0)
        began = time.monotonic() - elapsed
        model.train()
        order = torch.empty(0, dtype=torch.int64)
        loss_sum, hits, seen = torch.zeros((), device=device), torch.zeros((), device=device), 0
        for step in range(done, total):
            position = step % per_epoch
            if position == 0:
                order = torch.randperm(len(data), generator=generator, device=device)
                loss_sum, hits, seen = torch.zeros_like(loss_sum), torch.zeros_like(hits), 0
            end = (position + 1) * plan.batch if position < per_epoch - 1 else len(data)
            images, y = data.batch(order[position * plan.batch : end], device)
            x = augment(images, generator)
            with devices.autocast(device, dtype):
                loss, logits = objective(model, x, y)
            rate = rate_at(plan.schedule, step, total)
            lr = plan.lr * rate
            for each, peak in zip(optimizers, peaks, strict=True):
                for group in each.param_groups:
                    group["lr"] = peak * rate
            descend(loss, model, optimizers, scaler, plan.clip)
            if plan.average is not None:
                state["average"].update_parameters(model)
            loss_sum += loss.detach() * len(y)
            hits += (logits.detach().argmax(1) == y).sum()
            seen += len(y)

            ended = position == per_epoch - 1 or step == total - 1
            if not ended and (step + 1) % FETCH_EVERY:
                report(phase, step + 1, total)
                continue
            scalars = {"loss": loss_sum.item() / seen, "acc": hits.item() / seen}
            if not math.isfinite(scalars["loss"]):
                raise Refused(
                    f"{phase}: the loss is no longer finite at step {step + 1} of {total}. "
                    f"Lower the learning rate (now {plan.lr}) or set clip=1."
                )
            if ended:
                seconds = time.monotonic() - began
                scalars |= {"epoch": step // per_epoch + 1, "lr": lr, "seconds": seconds}
            report(phase, step + 1, total, scalars, kept.state_dict if ended else None)
            if ended and checkpoint:  # after the report: a line too many is dropped on resume, a missing one is lost
                checkpoints.save(checkpoint, state, generator, device, step + 1, scalars["seconds"])
    if plan.average is not None:
        model.load_state_dict(kept.state_dict())
    return model


def descend(
    loss: Tensor,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    scaler: torch.amp.GradScaler,
    clip: float | None,
) -> None:
    """One step of every optimizer down `loss`; the gradient norm of `model`, which the first one steps, is clipped."""
    for optimizer in optimizers:
        optimizer.zero_grad()
    scaler.scale(loss).backward()
    if clip is not None:
        scaler.unscale_(optimizers[0])
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    for optimizer in optimizers:
        scaler.step(optimizer)
    scaler.update()
