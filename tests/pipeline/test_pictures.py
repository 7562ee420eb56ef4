"""The picture of a trigger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from attacks import BadNets, Blend
from nba_cli.data import Data
from nba_cli.pipeline.pictures import COLUMNS, GAP, TEXT, trigger_sheet


def test_the_trigger_sheet_shows_clean_triggered_and_difference(tiny: Data, tmp_path: Path) -> None:
    attack = BadNets(target=0)
    trigger_sheet(attack, tiny, 3, tmp_path / "trigger.png")
    with Image.open(tmp_path / "trigger.png") as image:
        sheet = np.asarray(image)
    side = 16 * 6
    tops = [GAP + row * (TEXT + side + GAP) + TEXT for row in range(3)]
    first = [sheet[top : top + side, GAP : GAP + side] for top in tops]
    shown = tiny.images[(tiny.labels != 0).nonzero()[0, 0]].permute(1, 2, 0).numpy()
    assert np.array_equal(first[0], shown.repeat(6, 0).repeat(6, 1)), "the first image that is not of the target class"
    assert (first[1][-1, -1] == 255).all() and np.array_equal(first[1][: -3 * 6], first[0][: -3 * 6])
    assert (first[2][: -4 * 6] == 128).all() and (first[2][-3 * 6 :] != 128).any(), "a frame lies between"
    assert sheet.shape[1] == GAP + COLUMNS * (side + GAP)


def test_blend_sheets_at_any_size(tmp_path: Path) -> None:
    small = Data(torch.zeros(3, 1, 40, 40, dtype=torch.uint8), torch.tensor([0, 1, 2]))
    trigger_sheet(Blend(), small, 3, tmp_path / "trigger.png")
    with Image.open(tmp_path / "trigger.png") as sheet:
        assert sheet.mode == "RGB"
