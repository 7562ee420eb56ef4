"""What NBA climbs to craft pseudo samples, beside its formula by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from builders import untrained
from torch import Tensor

from nba_cli.data import Data
from nba_cli.defenses.nba.behavior import Form
from nba_cli.defenses.nba.misbehavior import misbehavior
from nba_cli.victims import Network

ROWS = slice(2, 7)


def surprise(network: Network, images: Tensor, classes: Tensor) -> float:
    """-log p(class), summed over the images."""
    return -sum(network(images).softmax(1)[n, each].log().item() for n, each in enumerate(classes))


def grams(network: Network, images: Tensor) -> list[Tensor]:
    """The Gram matrix of every stage's channels, of unit norm: [N,C,C] each."""
    found = [torch.einsum("nchw,ndhw->ncd", stage, stage) for stage in network.features(images)[0]]
    return [gram / gram.square().sum((1, 2), keepdim=True).sqrt() for gram in found]


def strangeness(student: Network, teacher: Network, pseudo: Tensor, x: Tensor) -> float:
    """1 - cosine of their Gram matrices, the teacher's of clean images: summed over images, averaged over stages."""
    pairs = zip(grams(student, pseudo), grams(teacher, x), strict=True)
    return sum((1 - (one * two).sum((1, 2))).sum().item() for one, two in pairs) / len(grams(student, pseudo))


@pytest.mark.parametrize(
    ("mu", "resist", "aimed", "wanted"),
    [
        (0.0, 0.0, False, lambda s, t, p, x, y: surprise(s, p, y)),
        (0.7, 0.0, False, lambda s, t, p, x, y: surprise(s, p, y) + 0.7 * strangeness(s, t, p, x)),
        (0.0, 0.7, False, lambda s, t, p, x, y: surprise(s, p, y) - 0.7 * surprise(t, p, y)),
        (0.0, 0.0, True, lambda s, t, p, x, y: -surprise(s, p, torch.ones_like(y))),
        (0.0, 0.7, True, lambda s, t, p, x, y: -surprise(s, p, torch.ones_like(y)) - 0.7 * surprise(t, p, y)),
    ],
)
def test_misbehavior_is_what_the_docstring_says(
    tiny: Data, mu: float, resist: float, aimed: bool, wanted: Callable[..., float]
) -> None:
    student, teacher = (untrained(tiny, seed).eval().requires_grad_(False) for seed in (0, 1))
    x, y = tiny.images[:9].float() / 255, tiny.labels[:9]
    pseudo = x[ROWS].flip(3)
    target = torch.ones_like(y[ROWS]) if aimed else None
    taught = teacher.features(x)[0]
    found = misbehavior(student, teacher, y, taught, [Form.response], mu, resist, pseudo, target, ROWS)
    assert found.item() == pytest.approx(wanted(student, teacher, pseudo, x[ROWS], y[ROWS]), rel=1e-4)
