"""Predictions and accuracy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nba_cli import devices
from nba_cli.data import Data, scaled_batch, to_float
from nba_cli.ranks import ALONE, Ranks

TOGETHER = {"cpu": 250}
"""Device -> images of 32x32 pixels that one batch holds; 1000 on all others.

A processor's caches hold the maps of few images: WRN-16-1 in bf16 on a core of an AMD EPYC reads 10,000 images in 4.9 s
of processor time by 1000, in 4.5 s by 500, in 3.7 s by 250 or by 125.
"""


def batch_size(images: Tensor, device: torch.device) -> int:
    """How many of the images [N,C,H,W] pass through a network at a time; fewer of larger ones."""
    return scaled_batch(TOGETHER.get(device.type, 1000), images)


@torch.inference_mode()
def predict(
    model: nn.Module,
    images: Tensor,
    dtype: torch.dtype = torch.float32,
    batch: int | None = None,
    ranks: Ranks = ALONE,
) -> Tensor:
    """Predicted classes int64 [N], on the device of `images` (uint8 [N,C,H,W]), in eval mode, unaugmented.

    Images that are not on the model's device are copied there batch by batch; `batch` is `batch_size` of them if it is
    not given. Several `ranks`, each of which has to call this, take the same batches in turn as one would.
    """
    device = next(model.parameters()).device
    batch = batch or batch_size(images, device)
    was_training = model.training
    model.eval()
    with devices.autocast(device, dtype):
        classes = ranks.deal(
            images.split(batch), lambda part: model(to_float(part.to(device))).argmax(1).to(images.device)
        )
    model.train(was_training)
    return classes


def share(classes: Tensor, wanted: Tensor) -> float:
    """Share in [0,1] of equal entries."""
    return (classes == wanted).sum().item() / len(wanted)  # exact, and MPS has no float64


def accuracy(model: nn.Module, data: Data, dtype: torch.dtype = torch.float32) -> float:
    """Share of `data` that is classified as labelled."""
    return share(predict(model, data.images, dtype), data.labels)
