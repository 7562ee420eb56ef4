"""The only training loop: victims, fine-tuning, teachers and students all pass through `fit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nba_cli import devices
from nba_cli.data import Data
from nba_cli.seeds import derive
from nba_cli.training.bookkeeping import Books
from nba_cli.training.checkpoint import restore, save
from nba_cli.training.descent import Descent, Partner
from nba_cli.training.plan import Plan, rate_at
from nba_cli.training.progress import Progress, silent

N = TypeVar("N", bound=nn.Module)
Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""(images uint8 [B,C,H,W], generator) -> float [B,C,H,W] in [0,1], on the same device."""

Objective = Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(model, x float [B,C,H,W] in [0,1], y int64 [B]) -> (scalar loss, logits [B,K])."""


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
    augment: Augmentation,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    progress: Progress = silent,
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
    descent = Descent(model, plan, dtype, partner)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(derive(generator.initial_seed(), "layers"))
        done, seconds = restore(checkpoint, descent.state, generator, device) if checkpoint else (0, 0.0)
        keep = partial(save, checkpoint, descent.state, generator, device) if checkpoint else None
        books = Books(phase, plan.lr, total, per_epoch, progress, descent.weights.state_dict, seconds, keep)
        model.train()
        for step, x, y in batches(data, plan.batch, per_epoch, range(done, total), augment, generator, device):
            with devices.autocast(device, dtype):
                loss, logits = objective(model, x, y)
            rate = rate_at(plan, step, total)
            descent.step(loss, rate)
            books.note(step, loss, logits, y, rate)
    descent.finish()
    return model


def batches(
    data: Data,
    size: int,
    per_epoch: int,
    steps: range,
    augment: Augmentation,
    generator: torch.Generator,
    device: torch.device,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(step, x, y) on `device` for every one of `steps`, the first of which begins an epoch.

    Each epoch has an order of its own. Its last batch takes what is left, at least two images if there are two.
    """
    order = torch.empty(0, dtype=torch.int64)
    for step in steps:
        place = step % per_epoch
        if place == 0:
            order = torch.randperm(len(data), generator=generator, device=device)
        end = (place + 1) * size if place < per_epoch - 1 else len(data)
        images, y = data.batch(order[place * size : end], device)
        yield step, augment(images, generator), y
