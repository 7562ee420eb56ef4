"""Batch-norm layers: finding them, refreshing their statistics, leaving them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nba_cli import devices
from nba_cli.data import Data
from nba_cli.errors import Refused
from nba_cli.modes import in_mode


def batch_norms(model: nn.Module, defense: str) -> dict[str, nn.BatchNorm2d]:
    """The batch-norm layers of `model` by name.

    Raises:
        Refused: there is none.
    """
    found = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    if not found:
        raise Refused(
            f"defense={defense} works on batch-norm layers; this victim has none. ft, nad, nba ... work on it."
        )
    return found


@torch.no_grad()
def refresh_statistics(
    model: nn.Module, data: Data, see: Callable[[Tensor], Tensor], dtype: torch.dtype, batch: int = 250
) -> None:
    """Set the running statistics of all batch norms to averages over `data`, as `see` shows it to the model.

    `see` turns uint8 [N,C,H,W] into float in [0,1]: the augmentation that the model was trained with, because crops
    that are padded with black shift the statistics. Seen once, in a run that was not kept: without it a WRN-16-1 on
    CIFAR-10 fell from 88.2 to 82.4 % of 500 hold-out images. A last batch of one image is left out: on maps of one
    pixel batch norm needs two.
    """
    device = next(model.parameters()).device
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    count = len(data) - (len(data) % batch == 1)
    with in_mode(model, training=True), devices.autocast(device, dtype):
        for images in data.images[:count].split(batch):
            model(see(images.to(device)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norm normalises by the batch as in training but leaves its running statistics alone.

    In a trial that was not kept, pseudo samples that fed the running statistics cost two points of ACC.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
