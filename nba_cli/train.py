"""The only training loop: victims, fine-tuning, teachers and students all pass through `fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nba_cli import checkpoints, devices
from nba_cli.data.base import Data
from nba_cli.errors import Refused
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


class Report(Protocol):
    """Write-only channel out of a stage: progress and history, nothing comes back."""

    def __call__(self, phase: str, step: int, total: int, scalars: dict[str, float] | None = None, /) -> None: ...


def silent(phase: str, step: int, total: int, scalars: dict[str, float] | None = None, /) -> None:
    """A report that goes nowhere."""


class Schedule(Enum):
    """onecycle: linear warm-up over the first fifth, then cosine to 0; cosine: from lr to 0; constant."""

    onecycle = "onecycle"
    cosine = "cosine"
    constant = "constant"


class Optimizer(Enum):
    """sgd: with Nesterov momentum; adam: Kingma & Ba 2015."""

    sgd = "sgd"
    adam = "adam"


@dataclass(kw_only=True)
class Plan:
    """How long and how hard to train.

    Fields:
        epochs: length in passes over the data; null when `steps` is given
        steps: length in optimizer steps; null when `epochs` is given
        batch: images a step
        lr: peak learning rate
        schedule: onecycle, cosine or constant
        optimizer: sgd or adam
        momentum: Nesterov momentum in [0,1), of sgd
        decay: weight decay
        clip: largest gradient norm; null: no clipping
        average: decay in [0,1) of an exponential average of the weights, which is then the result; null: none
    """

    epochs: float | None = None
    steps: int | None = None
    batch: int = 128
    lr: float = 0.1
    schedule: Schedule = Schedule.onecycle
    optimizer: Optimizer = Optimizer.sgd
    momentum: float = 0.9
    decay: float = 5e-4
    clip: float | None = None
    average: float | None = None

    def __post_init__(self) -> None:
        self.epochs = None if self.epochs is None else float(self.epochs)  # 15 and 15.0 name the same run
        if (self.epochs is None) == (self.steps is None):
            raise Refused(
                f"epochs={_yaml(self.epochs)} and steps={_yaml(self.steps)}: give one length and set the other to null."
            )
        if (self.epochs or self.steps or 0) <= 0 or self.batch < 1 or self.lr <= 0:
            raise Refused(f"length {self.epochs or self.steps}, batch={self.batch}, lr={self.lr}: all must be above 0.")
        if not 0 <= self.momentum < 1 or (self.average is not None and not 0 <= self.average < 1):
            raise Refused(f"momentum={self.momentum}, average={self.average}: both lie in [0,1).")

    def optimize(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """The optimizer at peak learning rate."""
        fused = device.type == "cuda"
        if self.optimizer is Optimizer.adam:
            return torch.optim.Adam(parameters, self.lr, weight_decay=self.decay, fused=fused)
        return torch.optim.SGD(
            parameters, self.lr, self.momentum, weight_decay=self.decay, nesterov=self.momentum > 0, fused=fused
        )

    def steps_per_epoch(self, count: int) -> int:
        return math.ceil(count / self.batch)

    def total(self, count: int) -> int:
        """Optimizer steps on `count` images."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 0) * self.steps_per_epoch(count)))


def _yaml(value: object) -> object:
    return "null" if value is None else value


def rate_at(schedule: Schedule, step: int, total: int) -> float:
    """Learning rate at `step` (0-based) of `total` as a share of the peak; above 0 at every step."""
    if schedule is Schedule.constant:
        return 1.0
    rising = max(1, round(total / 5)) if schedule is Schedule.onecycle else 0
    if step < rising:
        return (step + 1) / (rising + 1)
    return (1 + math.cos(math.pi * (step - rising) / max(1, total - rising))) / 2


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
            images, y = data.batch(order[position * plan.batch : (position + 1) * plan.batch], device)
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
            report(phase, step + 1, total, scalars)
            if ended and checkpoint:  # after the report: a line too many is dropped on resume, a missing one is lost
                checkpoints.save(checkpoint, state, generator, device, step + 1, scalars["seconds"])
    if plan.average is not None:
        model.load_state_dict(state["average"].module.state_dict())
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
