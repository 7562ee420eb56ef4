"""ACC, ASR, RA and DER: defined here and nowhere else. Shares lie in [0,1]; tables show percent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attacks import Attack, stamped
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


def measure(
    model: nn.Module, test: Data, attack: Attack, num_classes: int, dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """The figures of one model under one attack.

    acc: clean test accuracy, whole test set.
    asr: share of triggered test images classified as the attacker wants; images whose true class already is what
    the attacker wants are left out (all2all: nobody is).
    ra: share of the same triggered images classified as their TRUE class (robust accuracy).
    asr and ra are None when the attack triggers no image. `triggered` counts the images behind them.
    asr_by_class: the same share among the triggered images of each true class; None where there are none.
    """
    goal = attack.goal(test.labels, num_classes)
    index = (goal != test.labels).nonzero().flatten()
    figures: dict[str, Any] = {
        "acc": _share(predict(model, test.images, dtype), test.labels),
        "asr": None,
        "ra": None,
        "triggered": len(index),
        "asr_by_class": [None] * num_classes,
    }
    if len(index):
        classes = predict(model, stamped(attack, test.images[index], index), dtype)
        labels, wanted = test.labels[index], goal[index]
        figures |= {
            "asr": _share(classes, wanted),
            "ra": _share(classes, labels),
            "asr_by_class": [
                _share(classes[labels == label], wanted[labels == label]) if (labels == label).any() else None
                for label in range(num_classes)
            ],
        }
    return figures


def _share(classes: Tensor, wanted: Tensor) -> float:
    return (classes == wanted).sum().item() / len(wanted)  # exact, and MPS has no float64


def der(before: dict, after: dict) -> float | None:
    """Defense effectiveness rate in [0,1]: (max(0, ASR drop) - max(0, ACC drop) + 1) / 2 (Zhu et al. 2023)."""
    if before["asr"] is None or after["asr"] is None:
        return None
    return (max(0.0, before["asr"] - after["asr"]) - max(0.0, before["acc"] - after["acc"]) + 1) / 2
