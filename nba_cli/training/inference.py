"""Predictions and accuracy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nba_cli import devices
from nba_cli.data import Data, to_float


@torch.inference_mode()
def predict(model: nn.Module, images: Tensor, dtype: torch.dtype = torch.float32, batch: int = 1000) -> Tensor:
    """Predicted classes int64 [N], on the device of `images` (uint8 [N,C,H,W]), in eval mode, unaugmented.

    Images that are not on the model's device are copied there batch by batch.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with devices.autocast(device, dtype):
        classes = [model(to_float(part.to(device))).argmax(1).to(images.device) for part in images.split(batch)]
    model.train(was_training)
    return torch.cat(classes)


def share(classes: Tensor, wanted: Tensor) -> float:
    """Share in [0,1] of equal entries."""
    return (classes == wanted).sum().item() / len(wanted)  # exact, and MPS has no float64


def accuracy(model: nn.Module, data: Data, dtype: torch.dtype = torch.float32) -> float:
    """Share of `data` that is classified as labelled."""
    return share(predict(model, data.images, dtype), data.labels)
