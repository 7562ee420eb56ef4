"""L2, L_inf, PSNR and SSIM by hand and by a slow, independent formula."""

from __future__ import annotations

import math

import pytest
import torch

from attacks import BadNets
from nba_cli.data import Data
from nba_cli.metrics import visibility
from nba_cli.metrics.visibility import PSNR_MAX


def test_one_changed_pixel_by_hand() -> None:
    clean = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    triggered = clean.clone()
    triggered[0, 0, 8, 8] = 51
    found = visibility.of_images(clean, triggered)
    assert found["l2"].tolist() == pytest.approx([0.2, 0])
    assert found["linf"].tolist() == pytest.approx([0.2, 0])
    assert found["psnr"].tolist() == pytest.approx([10 * math.log10(256 / 0.04), PSNR_MAX])
    assert found["ssim"][0] < 1 and found["ssim"][1] == 1


def test_ssim_of_flat_images_compares_their_means() -> None:
    x, y = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    wanted = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert visibility.ssim(x, y).item() == pytest.approx(wanted, rel=1e-3)


def slow_ssim(x: torch.Tensor, y: torch.Tensor, side: int = 11) -> float:
    """Position by position, in double precision, from weighted moments in a window of so many pixels a side."""
    far = [(k - side // 2) ** 2 for k in range(side)]
    weights = [[math.exp(-(one + two) / 4.5) for two in far] for one in far]
    w = torch.tensor(weights, dtype=torch.float64)
    w = w / w.sum()
    values = []
    for channel in range(x.shape[0]):
        for top in range(x.shape[1] - side + 1):
            for left in range(x.shape[2] - side + 1):
                a, b = (z[channel, top : top + side, left : left + side].double() for z in (x, y))
                ma, mb = (w * a).sum(), (w * b).sum()
                va, vb, ab = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum(), (w * (a - ma) * (b - mb)).sum()
                above = (2 * ma * mb + 0.0001) * (2 * ab + 0.0009)
                values.append(above / ((ma**2 + mb**2 + 0.0001) * (va + vb + 0.0009)))
    return torch.stack(values).mean().item()


def test_ssim_against_a_slow_formula() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 14, 13, generator=random)
    y = (x + 0.3 * torch.rand(2, 3, 14, 13, generator=random)).clamp(0, 1)
    assert visibility.ssim(x, y).tolist() == pytest.approx([slow_ssim(x[0], y[0]), slow_ssim(x[1], y[1])], abs=1e-4)


def test_small_images_get_a_smaller_window() -> None:
    x, y = torch.rand(2, 1, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    assert visibility.ssim(x, y).item() == pytest.approx(slow_ssim(x[0], y[0], side=7), abs=1e-5)


def test_an_attacks_distances_are_means_over_the_images_that_it_is_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    images[0] = 255  # of the target class: does not count
    test = Data(images, torch.tensor([0, 1, 2, 1]))
    sizes: list[int] = []
    true = visibility.of_images
    monkeypatch.setattr(visibility, "of_images", lambda x, y: (sizes.append(len(x)), true(x, y))[1])
    found = visibility.of_attack(BadNets(target=0), test, 3, batch=8)
    assert sizes == [2, 1], "images of 64x64 fill four times the memory"
    assert found["l2"] == pytest.approx(math.sqrt(3 * 5)) and found["linf"] == 1
    assert visibility.of_attack(BadNets(target=0), Data(images[:1], torch.tensor([0])), 3) == {}
