"""What triggers do at 32x32, 64x64 and 224x224: which of their lengths grow with the image, as the docstrings say."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from builders import made
from torch import Tensor

from attacks import ATTACKS, Attack, WaNet
from attacks._reflection import ghost, textures

SIDES = (32, 64, 224)


def pictures(side: int, count: int = 2) -> Tensor:
    """The same smooth pictures at every size, float [N,3,H,W] in [0,1]."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, (side, side), mode="bicubic", align_corners=True).clamp(0.1, 0.9)


@functools.cache
def fitted(name: str, side: int) -> Attack:
    """Learning a trigger at 224x224 takes seconds, and it is the same each time."""
    return made(name, pictures(side))


def changed(attack: Attack, images: Tensor) -> Tensor:
    """Which pixels the trigger changes: bool [H,W] of the first image."""
    with torch.no_grad():
        return (attack.stamp(images, torch.arange(len(images))) - images).abs().amax(1)[0] > 1e-4


@pytest.mark.parametrize("side", SIDES[1:])
@pytest.mark.parametrize("name", [name for name, cls in ATTACKS.items() if cls().rate])
def test_every_trigger_fits_every_size(name: str, side: int) -> None:
    images, attack = pictures(side), fitted(name, side)
    attack.check(3, (3, side, side))
    with torch.no_grad():
        out = attack.stamp(images, torch.arange(2))
    assert out.shape == images.shape and out.isfinite().all() and (out - images).abs().max() > 1e-3


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("name", "pixels"), [("badnets", 9), ("trojan", 25), ("cl", 36)])
def test_patches_count_pixels(name: str, pixels: int, side: int) -> None:
    assert changed(fitted(name, side), pictures(side)).sum() == pixels


@pytest.mark.parametrize("side", SIDES)
def test_sig_has_as_many_stripes(side: int) -> None:
    images = torch.full((1, 3, side, side), 0.5)
    wave = ATTACKS["sig"]().stamp(images, torch.arange(1))[0, 0, 0] - 0.5
    assert torch.fft.rfft(wave).abs().argmax() == 6 and wave.abs().max() == pytest.approx(20 / 255, rel=0.01)


@pytest.mark.parametrize("side", SIDES[1:])
def test_the_picture_of_blend_grows(side: int) -> None:
    small, large = (ATTACKS["blend"](key="picture").image((3, size, size)) for size in (32, side))  # type: ignore
    there = (torch.arange(32) * (side - 1) / 31).round().long()
    assert (large[:, there][:, :, there] == small).float().mean() > 0.95


@pytest.mark.parametrize("side", SIDES)
def test_wanet_moves_pixels_as_far_along_the_same_flow(side: int) -> None:
    flow = WaNet().draw((3, side, side))["flow"] * (side - 1) / 2  # corners are the ends of [-1,1]: in pixels
    assert flow.abs().mean() == pytest.approx(0.25, rel=0.2), "s / 2"
    small = WaNet().draw((3, 32, 32))["flow"].permute(0, 3, 1, 2) * 31 / 2
    grown = F.interpolate(small, (side, side), mode="bilinear", align_corners=True).permute(0, 2, 3, 1)
    assert (flow - grown).abs().max() < 0.05


def test_the_same_warp_of_larger_images() -> None:
    """What the docstring says of s=3.5."""
    small, large = (attack.draw((3, side, side))["flow"] for attack, side in ((WaNet(), 32), (WaNet(s=3.5), 224)))
    assert large.abs().mean().item() == pytest.approx(small.abs().mean().item(), rel=0.05), "in shares of the image"


@pytest.mark.parametrize("side", SIDES)
def test_reflections_grow_and_their_doubles_keep_their_distance(side: int) -> None:
    point = torch.zeros(40, 1, side, side)
    point[:, :, 2, 2] = 1
    double = (ghost(point, torch.arange(40), 0)[:, 0] > 0.1).nonzero()
    shift = double[double[:, 1] != 2][:, 1:] - 2
    assert shift.min() >= 3 and shift.max() <= 8
    found = textures(8, (1, side, side), 0)
    found = found - found.mean((2, 3), keepdim=True)
    alike = (found * found.roll(side // 8, 2)).sum() / found.square().sum()
    assert alike > 0.1, "an eighth of the image away"
