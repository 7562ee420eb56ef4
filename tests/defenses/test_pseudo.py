"""Pseudo samples: every kind, on a model small enough to know the answer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nba_cli.defenses.nba.pseudo import CRAFTERS, Bank, Craft, Pseudo, Score, ascended

KINDS = [kind for kind in Pseudo if kind is not Pseudo.none]


CRAFTED = [kind for kind in KINDS if kind is not Pseudo.noise]


def batch() -> tuple[Tensor, Tensor]:
    x = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    return x, torch.arange(6) % 3


def linear_score(y: Tensor, device: str = "cpu") -> Score:
    """Summed cross-entropy of a fixed linear model: convex in x~, so that ascent has to raise it."""
    weight = torch.randn(3, 192, generator=torch.Generator().manual_seed(1)).to(device)

    def score(pseudo: Tensor, target: Tensor | None, rows: slice = slice(None)) -> Tensor:
        logits = pseudo.flatten(1) @ weight.T
        wanted = y[rows] if target is None else target
        return F.cross_entropy(logits, wanted, reduction="sum") * (1 if target is None else -1)

    return score


def craft(score: Score, seed: int = 0, device: str = "cpu") -> Craft:
    eps = torch.full((), 0.05, device=device)
    return Craft(
        score=score, eps=eps, steps=3, area=0.05, patch_share=0.5, generator=torch.Generator().manual_seed(seed)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_range_size_and_determinism(kind: Pseudo) -> None:
    x, y = batch()
    before = x.clone()
    made = CRAFTERS[kind](3)(x, craft(linear_score(y)))
    assert made is not None and made.shape == x.shape and not made.requires_grad
    assert made.min() >= 0 and made.max() <= 1
    assert torch.equal(x, before)
    if kind not in (Pseudo.patch, Pseudo.mixed):  # the mask bounds a patch
        assert (made - x).abs().max() <= 0.05 + 1e-6
    again = CRAFTERS[kind](3)(x, craft(linear_score(y)))
    assert again is not None and torch.equal(made, again)


@pytest.mark.parametrize("kind", [kind for kind in CRAFTED if kind not in (Pseudo.bank, Pseudo.mixed)])
def test_crafting_raises_the_score_beyond_noise_of_the_same_size(kind: Pseudo) -> None:
    x, y = batch()
    score = linear_score(y)
    made = CRAFTERS[kind](3)(x, craft(score))
    noise = CRAFTERS[Pseudo.noise](3)(x, craft(score))
    assert made is not None and noise is not None
    assert score(made, None) > score(noise, None) and score(made, None) > score(x, None) + 1


@pytest.mark.parametrize("kind", [Pseudo.universal, Pseudo.bank, Pseudo.noise])
def test_universal_kinds_change_every_image_alike(kind: Pseudo) -> None:
    x, y = batch()  # well inside [0,1], so that nothing is clipped
    made = CRAFTERS[kind](3)(x, craft(linear_score(y)))
    assert made is not None
    change = made - x
    assert torch.allclose(change, change[:1].expand_as(change), atol=1e-6)


def test_samplewise_changes_images_each_in_its_own_way() -> None:
    x, y = batch()
    made = CRAFTERS[Pseudo.samplewise](3)(x, craft(linear_score(y)))
    assert made is not None and not torch.allclose((made - x)[0], (made - x)[1], atol=1e-3)


def test_patch_covers_its_area_and_nothing_else() -> None:
    x, y = batch()
    made = CRAFTERS[Pseudo.patch](3)(x, craft(linear_score(y)))
    assert made is not None
    touched = (made != x).any(dim=(0, 1))
    assert 1 <= touched.sum() <= 3, "5 % of 64 pixels"
    inside = made[:, :, touched]
    assert torch.equal(inside, inside[:1].expand_as(inside)), "one pattern for the batch"


def test_patch_keeps_its_area_where_no_pixel_stands_out() -> None:
    x, _ = batch()
    made = CRAFTERS[Pseudo.patch](3)(x, craft(lambda pseudo, target, rows=slice(None): 0 * pseudo.sum()))
    assert made is not None and (made != x).any(dim=0).any(dim=0).sum() <= 3


def test_bank_keeps_its_perturbations_from_batch_to_batch() -> None:
    x, y = batch()
    bank = Bank(3)
    bank(x, craft(linear_score(y)))
    assert bank.deltas is not None and bank.deltas.shape == (3, 3, 8, 8)
    before = bank.deltas.clone()
    bank(x, craft(linear_score(y), seed=4))
    changed = (bank.deltas != before).flatten(1).any(1)
    assert changed.sum() == 1, "a step touches the class that it draws, and starts from what it has"


def test_ascent_climbs_towards_the_presumed_target() -> None:
    x, y = batch()
    score = linear_score(y)
    for target in range(3):
        goal = torch.full((6,), target)
        delta = ascended(x, torch.zeros(1, 3, 8, 8), craft(score), target=goal)
        assert score((x + delta).clamp(0, 1), goal) > score(x, goal) + 1


def test_mixed_is_part_universal_part_patch() -> None:
    x, y = batch()
    made = CRAFTERS[Pseudo.mixed](3)(x, craft(linear_score(y)))
    assert made is not None and made.shape == x.shape
    first, second = ((made - x)[rows] for rows in (slice(3), slice(3, 6)))
    assert torch.allclose(first, first[:1].expand_as(first), atol=1e-6) and first.abs().max() <= 0.05 + 1e-6
    assert (second != 0).any(dim=(0, 1)).sum() <= 3 and second.abs().max() > 0.2
    alone = CRAFTERS[Pseudo.mixed](3)(x[:1], craft(linear_score(y[:1])))
    assert alone is not None and alone.shape == x[:1].shape, "a last batch of one image"
    few = CRAFTERS[Pseudo.mixed](3)(x[:3], craft(linear_score(y[:3])))
    change = few - x[:3] if few is not None else x
    assert torch.allclose(change, change[:1].expand_as(change), atol=1e-6), "no part of one image: all universal"


def test_none_makes_nothing() -> None:
    x, y = batch()
    assert CRAFTERS[Pseudo.none](3)(x, craft(linear_score(y))) is None


@pytest.mark.parametrize("kind", [Pseudo.universal, Pseudo.samplewise])
def test_ascent_reaches_the_corner(kind: Pseudo) -> None:
    """score = sum of pixels: the best perturbation is +eps everywhere, whatever the start."""
    x, _ = batch()
    made = CRAFTERS[kind](3)(x, craft(lambda pseudo, target, rows=slice(None): pseudo.sum()))
    assert made is not None and torch.allclose(made, x + 0.05, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_runs_on_the_meta_device(kind: Pseudo) -> None:
    x, y = (tensor.to("meta") for tensor in batch())
    made = CRAFTERS[kind](3)(x, craft(linear_score(y, "meta"), device="meta"))
    assert made is not None and made.is_meta
