"""The defender's clean set, and hold-outs of it."""

from __future__ import annotations

import pytest
import torch
from builders import untrained

from nba_cli.data import Data, clean_share, hold_out
from nba_cli.defenses import DEFENSES, Evidence
from nba_cli.errors import Refused
from nba_cli.seeds import generator


def test_clean_share_is_stratified_seeded_and_from_the_training_set(tiny: Data) -> None:
    share = clean_share(tiny, 0.1, seed=0)
    assert share.labels.bincount().tolist() == [8, 8, 8]
    originals = {image.numpy().tobytes() for image in tiny.images}
    assert all(image.numpy().tobytes() in originals for image in share.images)
    assert share.digest() == clean_share(tiny, 0.1, seed=0).digest() != clean_share(tiny, 0.1, seed=1).digest()
    assert len(clean_share(tiny, 1e-6, seed=0)) == 3, "one of each class at least"


def test_hold_out_takes_its_share_of_every_class(tiny: Data) -> None:
    rest, held = hold_out(tiny[torch.arange(60)], 0.2, torch.Generator())
    assert held.labels.bincount().tolist() == [4, 4, 4] and len(rest) == 48
    pixels = {tuple(image.flatten().tolist()) for data in (rest, held) for image in data.images}
    assert len(pixels) == 60, "no image is in both"
    _, other = hold_out(tiny[torch.arange(60)], 0.2, torch.Generator().manual_seed(1))
    assert other.digest() != held.digest(), "drawn by the generator"
    _, few = hold_out(tiny[torch.arange(6)], 0.01, torch.Generator())
    assert few.labels.bincount().tolist() == [1, 1, 1]
    rest, held = hold_out(tiny[torch.tensor([0, 1, 4])], 0.2, torch.Generator())
    assert sorted(rest.labels.tolist()) == [0, 1] and held.labels.tolist() == [1], "a class of one image keeps it"
    for single in (DEFENSES["fp"](), DEFENSES["anp"]()):
        lone = Evidence(model=untrained(tiny), clean=tiny[torch.arange(3)], num_classes=3)
        with pytest.raises(Refused, match="too few"):
            single(lone, generator(0, "defense"))


def test_a_clean_set_can_be_apart_from_what_the_attacker_changed(tiny: Data) -> None:
    without = torch.arange(0, 240, 2)
    share = clean_share(tiny, 0.3, 0, without)
    known = {image.numpy().tobytes() for image in tiny.images[without]}
    assert not any(image.numpy().tobytes() in known for image in share.images)
    assert len(share) == 72 and share.labels.bincount().tolist() == [24] * 3, "as many as ever"
    with pytest.raises(Refused, match=r"class 0 has 40 images that the attacker left alone, 48 are asked for"):
        clean_share(tiny, 0.6, 0, without)
