"""ACC, ASR, RA and DER: defined here and nowhere else. Shares lie in [0,1]; tables show percent."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from attacks import Attack, stamped
from nba_cli.data import Data
from nba_cli.ranks import ALONE, Ranks
from nba_cli.training import batch_size, predict, share_equal


def measure(
    model: nn.Module,
    test: Data,
    attack: Attack,
    num_classes: int,
    dtype: torch.dtype = torch.float32,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """The figures of one model under one attack.

    acc: clean test accuracy, whole test set.
    asr: share of triggered test images classified as the attacker wants; images whose true class already is what
    the attacker wants are left out (all2all leaves none out).
    ra: share of the same triggered images classified as their TRUE class (robust accuracy).
    asr and ra are None when the attack triggers no image. `triggered` counts the images behind them.
    asr_by_class: the same share among the triggered images of each true class; None if there are none.
    Several `ranks` divide the images among them; the figures are those of one.
    """
    goal, index = attack.goal(test.labels, num_classes), attack.meant_for(test.labels, num_classes)
    figures: dict[str, Any] = {
        "acc": share_equal(predict(model, test.images, dtype, ranks=ranks), test.labels),
        "asr": None,
        "ra": None,
        "triggered": len(index),
        "asr_by_class": [None] * num_classes,
    }
    if len(index):
        # triggered as they are shown: all at once would fill the memory with a large test set
        parts = index.split(batch_size(test.images, next(model.parameters()).device))
        classes = ranks.deal(parts, lambda part: predict(model, stamped(attack, test.images[part], part), dtype))
        labels, wanted = test.labels[index], goal[index]
        figures |= {
            "asr": share_equal(classes, wanted),
            "ra": share_equal(classes, labels),
            "asr_by_class": [
                share_equal(classes[labels == label], wanted[labels == label]) if (labels == label).any() else None
                for label in range(num_classes)
            ],
        }
    return figures


def der(before: dict, after: dict) -> float | None:
    """Defense effectiveness rate in [0,1]: (max(0, ASR drop) - max(0, ACC drop) + 1) / 2 (Zhu et al. 2023)."""
    if before["asr"] is None or after["asr"] is None:
        return None
    return (max(0.0, before["asr"] - after["asr"]) - max(0.0, before["acc"] - after["acc"]) + 1) / 2
