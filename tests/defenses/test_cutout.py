"""Cutout, as NAD and ARGD train with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from builders import SHORT, untrained_evidence
from torch import Tensor

from nba_cli.data import Data
from nba_cli.defenses import DEFENSES, _cutout
from nba_cli.defenses._cutout import blacked_out
from nba_cli.seeds import generator


def test_cutout_blacks_out_one_square_in_every_image() -> None:
    images = torch.ones(200, 3, 8, 10)
    dark = blacked_out(images, 3, torch.Generator().manual_seed(0)) == 0
    assert torch.equal(dark[:, 0], dark[:, 2]), "in all channels"
    sizes = dark[:, 0].flatten(1).sum(1)
    assert sizes.max() == 9 and sizes.min() == 4, "3x3, cut off at a border, 2x2 in a corner"
    for hole in dark[:20, 0]:
        rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all() and hole.sum() == len(rows) * len(
            columns
        )
    assert dark[:, 0].any(0).all(), "everywhere in the image"
    assert blacked_out(images, 0, torch.Generator()) is images


@pytest.mark.parametrize("name", ["nad", "argd"])
def test_teacher_and_student_train_on_images_with_a_hole(
    name: str, tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(images: Tensor, side: int, random: torch.Generator) -> Tensor:
        seen.append(side)
        return blacked_out(images, side, random)

    monkeypatch.setattr(_cutout, "blacked_out", noted)
    defense: Any = DEFENSES[name]
    defense(**SHORT[name], cutout=5)(untrained_evidence(tiny), generator(0, "defense"))
    assert seen == [5] * 6, "three batches each"
