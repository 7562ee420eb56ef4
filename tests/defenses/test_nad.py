"""NAD: its distance between attention maps, by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from builders import untrained

from nba_cli.data import Data, to_float
from nba_cli.defenses import NAD
from nba_cli.defenses._attention import attention_distance


def test_nads_distance_by_hand() -> None:
    # one sample, one stage of two channels on a 1x2 map: energies (5, 0) and (9, 16), made unit: (1, 0), (9, 16) / 18.4
    student = torch.tensor([[[[1.0, 0.0]], [[2.0, 0.0]]]])
    teacher = torch.tensor([[[[3.0, 0.0]], [[0.0, 4.0]]]])
    norm = math.sqrt(81 + 256)
    wanted = (1 - 9 / norm) ** 2 + (16 / norm) ** 2
    shallow = torch.ones(1, 3, 4, 4)
    found = attention_distance([shallow, 2 * shallow, student], [shallow, shallow, teacher], [1.0, 7.0])
    assert found.item() == pytest.approx(7 * wanted, rel=1e-5), "a scale vanishes; stages without a weight do not count"


def test_nad_adds_the_distance_of_the_last_stages_to_the_loss(tiny: Data) -> None:
    student, teacher = untrained(tiny, 1).eval(), untrained(tiny, 2).eval()
    x, y = to_float(tiny.images[:12]), tiny.labels[:12]
    loss, logits = NAD(weights=[3.0, 5.0]).objective(teacher)(student, x, y)
    wanted = F.cross_entropy(student(x), y)
    (*_, middle, deep), (*_, taught, deepest) = student.features(x)[0], teacher.features(x)[0]
    for weight, one, two in ((3.0, middle, taught), (5.0, deep, deepest)):
        a, b = ((maps**2).sum(1).flatten(1) for maps in (one, two))
        wanted = wanted + weight * ((a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True)) ** 2).sum() / 12
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5) and torch.equal(logits, student(x))
    loss.backward()
    assert all(weight.grad is None for weight in teacher.parameters())
