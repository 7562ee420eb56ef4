"""Predictions and accuracy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nba_cli import devices
from nba_cli.data import Data, scaled_batch, to_float
from nba_cli.modes import in_mode
from nba_cli.ranks import ALONE, Ranks

TOGETHER = {"cpu": 125}
"""Device -> images of 32x32 pixels that one batch holds; 1000 on all others.

A processor's caches hold the maps of few images. On two cores of an AMD EPYC, in bf16, PreActResNet18 reads 356 images
a second by 125, 323 by 250 and 269 by 1000; VGG16-BN 587, 542 and 518; WRN-16-1 3,986, 3,877 and 3,316 (4,374 by 500).
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
    with in_mode(model, training=False), devices.autocast(device, dtype):
        return ranks.deal(
            images.split(batch), lambda part: model(to_float(part.to(device))).argmax(1).to(images.device)
        )


def share_equal(classes: Tensor, wanted: Tensor) -> float:
    """Share in [0,1] of equal entries."""
    return (classes == wanted).sum().item() / len(wanted)  # exact, and MPS has no float64


def accuracy(model: nn.Module, data: Data, dtype: torch.dtype = torch.float32) -> float:
    """Share of `data` that is classified as labelled."""
    return share_equal(predict(model, data.images, dtype), data.labels)
