"""`dataset.size`: what becomes of images, what is said, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nba_cli import console, devices
from nba_cli.data import Data, FashionMini, Npz, base, images
from nba_cli.errors import Refused


@pytest.mark.parametrize("size", [8, 24, 40])
def test_images_are_resized_as_pillow_does_it(tiny_file: Path, size: int) -> None:
    """As the images of a folder are."""
    whole, splits = Npz(path=str(tiny_file)).load(), Npz(path=str(tiny_file), size=size).load()
    assert splits.train.images.shape == (240, 3, size, size) and splits.test.images.shape == (90, 3, size, size)
    assert torch.equal(splits.train.labels, whole.train.labels)
    for number in (0, 239):
        picture = Image.fromarray(whole.train.images[number].permute(1, 2, 0).numpy())
        wanted = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR)).astype(int)
        found = splits.train.images[number].permute(1, 2, 0).numpy().astype(int)
        assert abs(wanted - found).max() <= 1, "rounding"


def test_resizing_does_not_depend_on_how_many_are_taken_at_a_time(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tiny.resized(20)
    monkeypatch.setattr(images, "RESIZED", 7)
    assert whole.digest() == tiny.resized(20).digest()


def test_it_is_said_once_and_only_if_something_is_resized(tiny_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    console.setup()
    base.say_resized.cache_clear()
    for size in (None, 16, 24, 24):
        Npz(path=str(tiny_file), size=size).load()
    assert capfd.readouterr().out.splitlines() == ["16x16 images become 24x24 (dataset.size)"]


def test_null_is_what_the_file_holds() -> None:
    assert FashionMini(size=None).load().test.digest() == FashionMini().load().test.digest()


@pytest.mark.parametrize("size", [7, 4097])
def test_impossible_sizes_are_refused(size: int) -> None:
    with pytest.raises(Refused, match=rf"dataset.size={size}: images have 8 to 4096 pixels a side"):
        FashionMini(size=size)


def test_what_memory_does_not_hold_is_refused_before_it_is_made(
    tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = 330 * 3 * 64 * 64
    for have in (need, need - 1):
        monkeypatch.setattr(devices, "memory", lambda device, have=have: have)
        if have == need:
            assert Npz(path=str(tiny_file), size=64).load()
        else:
            with pytest.raises(Refused, match=r"dataset.size=64: 330 images of that size take 0 GB; there are 0"):
                Npz(path=str(tiny_file), size=64).load()


def test_the_crop_is_compared_with_the_new_size(tiny_file: Path) -> None:
    with pytest.raises(Refused, match=r"dataset.crop=10: images have 8x8 pixels"):
        Npz(path=str(tiny_file), size=8, crop=10).load()
