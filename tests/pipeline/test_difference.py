"""What a trigger changes, made visible."""

from __future__ import annotations

import pytest
import torch

from nba_cli.pipeline.difference import ORANGE, boxes, difference, frames


def test_most_of_the_changes_fill_the_range_and_the_largest_is_cut_off() -> None:
    clean = torch.full((1, 3, 2, 50), 100, dtype=torch.uint8)
    triggered = clean + 10
    triggered[0, 0, 0, 0], triggered[0, 0, 1, 1], triggered[0, 0, 0, 1] = 200, 95, 100
    found = difference(clean, triggered)
    assert found.factor == pytest.approx(12.7)
    assert found.images[0, 0, :, :2].tolist() == [[255, 128], [255, 64]]
    assert found.caption == "change x12.7, 100.0 % of pixels"


def test_a_change_that_fills_the_range_is_not_made_smaller() -> None:
    clean = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    found = difference(clean, clean + 255)
    assert found.factor == 1 and (found.images == 255).all() and found.images.shape[1] == 3
    still = difference(clean, clean)
    assert (still.images == 128).all() and still.share == 0


def test_the_few_places_that_change_are_framed_and_not_covered() -> None:
    clean = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    triggered = clean.clone()
    triggered[:, :, -3::2, -3:] = 255
    found = difference(clean, triggered)
    orange = (found.images[0] == torch.tensor(ORANGE)[:, None, None]).all(0)
    assert orange[28, 28:].all() and orange[28:, 28].all() and orange.sum() == 7, (
        "a rim of one pixel, at the corner open"
    )
    assert (found.images[:, :, -3::2, -3:] == 255).all() and (found.images[:, :, :28] == 128).all()
    assert found.caption == "change x1.0, 0.6 % of pixels"


def test_frames_have_room_or_are_one() -> None:
    changed = torch.zeros(32, 32, dtype=torch.bool)
    changed[0, [0, 2, 31]] = changed[31, 0] = True
    assert boxes(changed, 3) == [
        (slice(0, 1), slice(0, 3)),
        (slice(0, 1), slice(31, 32)),
        (slice(31, 32), slice(0, 3)),
    ]
    assert not (frames(changed) & changed).any() and frames(changed).sum() == 5 + 3 + 5


def test_what_changes_all_over_has_no_frame() -> None:
    changed = torch.zeros(32, 32, dtype=torch.bool)
    changed[::2, ::2] = True
    assert not frames(changed).any()
