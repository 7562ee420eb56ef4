"""The only training loop: victims, fine-tuning, teachers and students all pass through `fit`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nba_cli import devices
from nba_cli.data import Data, to_float
from nba_cli.ranks import ALONE, Ranks
from nba_cli.seeds import derive
from nba_cli.training.bookkeeping import Books
from nba_cli.training.checkpoint import restore, save
from nba_cli.training.compiling import Compiling, chosen
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
    option: str = "",
    checkpoint: Path | None = None,
    partner: Partner | None = None,
    ranks: Ranks = ALONE,
    compiling: Compiling = Compiling.off,
) -> N:
    """Train `model` in place on `data` and return it, in eval mode.

    `data` is on the model's device, or on the CPU, from where batches are copied. `generator`, on the model's device,
    feeds the order of images and the augmentation; dropout inside the model is seeded from it too, and torch's global
    state is left as it was. With `checkpoint`, the state is saved there after each epoch and an existing file is
    continued from: the result is the same as without the interruption, on a CPU. A `partner`, already on that device,
    is trained by the same loss. `option`, the path of the plan, is for refusals. `compiling` says whether the objective
    gets a compiled twin of the model; it must not reach into its layers then, nor may they have hooks. With a partner
    or several ranks there is none.

    Several `ranks`, each of which has to call this with equal weights, data, plan and generator, draw the same batches
    and augmentation. Each passes its part of a batch through the model, then their gradients are added up: the weights
    are those of one process up to rounding, if the loss is a mean over images and no layer looks beyond an image.
    Batch norm does: on CUDA it sees the whole batch (SyncBatchNorm), elsewhere a rank's part, and the running
    statistics are those of rank 0's parts. Rank 0 alone has a `checkpoint` and `progress`.

    Raises:
        Refused: the loss is no longer finite (names the step); the checkpoint is damaged, or of another training, kind
            of device or number of ranks.
    """
    device = next(model.parameters()).device
    total, per_epoch = plan.total(len(data)), plan.steps_per_epoch(len(data))
    learner, layers = synchronised(model, device, ranks), generator.initial_seed()
    descent = Descent(learner, plan, dtype, partner)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        passed = learner
        if partner is None and ranks.size == 1:
            first = to_float(data.batch(torch.arange(min(plan.batch, len(data)), device=device), device)[0])
            passed = chosen(compiling, learner, first, dtype, total, objective is cross_entropy)
        torch.manual_seed(derive(layers, "layers"))
        done, seconds = restore(checkpoint, descent.state, generator, device, ranks)
        keep = partial(save, checkpoint, descent.state, generator, device, ranks) if checkpoint else None
        books = Books(
            phase, plan.lr, total, per_epoch, progress, descent.weights.state_dict, seconds, keep, ranks, option
        )
        for each in (learner, passed):  # a twin has a flag of its own
            each.train()
        steps = range(done, total)
        for step, x, y, weight in batches(data, plan.batch, per_epoch, steps, augment, generator, device, ranks):
            if ranks.rank and step % per_epoch == 0:  # its dropout is not rank 0's; a resumed epoch has the same
                torch.manual_seed(derive(layers, f"layers of rank {ranks.rank} from step {step}"))
            with devices.autocast(device, dtype):
                loss, logits = objective(passed, x, y)
            rate = rate_at(plan, step, total)
            descent.step(loss, rate, weight, ranks)
            books.note(step, loss, logits, y, rate, counts=weight > 0)
    descent.finish()
    if learner is not model:
        model.load_state_dict(learner.state_dict())
    return model.eval()


def synchronised(model: N, device: torch.device, ranks: Ranks) -> N:
    """What is trained in the place of `model`: a copy whose batch norm sees the whole batch if the device can do that.

    A copy because SyncBatchNorm would wait for the other ranks wherever the model is trained later.
    """
    if ranks.size == 1 or device.type != "cuda":
        return model
    return cast(N, nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model)))


def batches(
    data: Data,
    size: int,
    per_epoch: int,
    steps: range,
    augment: Augmentation,
    generator: torch.Generator,
    device: torch.device,
    ranks: Ranks,
) -> Iterator[tuple[int, Tensor, Tensor, float]]:
    """(step, x, y, weight) on `device` for every one of `steps`, the first of which begins an epoch.

    Each epoch has an order of its own. Its last batch takes what is left, at least two images if there are two. x, y
    are this rank's part of the batch, which is augmented whole; `weight` is what its mean counts in that of the batch.
    """
    order = torch.empty(0, dtype=torch.int64)
    for step in steps:
        place = step % per_epoch
        if place == 0:
            # where the images are: there a batch is found without waiting for the device
            order = torch.randperm(len(data), generator=generator, device=device).to(data.images.device)
        end = (place + 1) * size if place < per_epoch - 1 else len(data)
        images, y = data.batch(order[place * size : end], device)
        part, weight = ranks.part(len(y))
        yield step, augment(images, generator)[part], y[part], weight
