"""NAD: its distance between attention maps, by hand."""

from __future__ import annotations

import math

import pytest
import torch

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
