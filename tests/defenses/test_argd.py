"""ARGD: its graph of attention maps and their embedding, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from builders import untrained_evidence
from torch import Tensor, nn

from nba_cli.data import Data
from nba_cli.defenses import ARGD
from nba_cli.defenses.argd import Embedding
from nba_cli.seeds import generator
from nba_cli.training import Plan


def test_argds_graph_by_hand() -> None:
    deep = torch.zeros(2, 1, 2, 2)  # energy in the first of four positions; of the second image in the last
    deep[0, 0, 0, 0], deep[1, 0, 1, 1] = 1.0, 1.0
    shallow = torch.zeros(2, 1, 4, 4)
    shallow[:, 0, 2:, 2:] = 2.0  # in the last quarter: unit norm puts 1/2 on each of 4 pixels, and so does pooling
    nodes, edges = ARGD(weights=[1.0, 1.0]).graph([shallow, deep])
    assert nodes[0].shape == (2, 16) and nodes[0].norm(dim=1).tolist() == pytest.approx([1, 1])
    # squared distances: 1 + 1/4 and (1 - 1/2)^2; the largest one is 1
    assert edges[:, 0].tolist() == pytest.approx([1, 0.2])
    middle = torch.ones(2, 5, 4, 4)
    _, three = ARGD().graph([shallow, middle, deep])
    assert three.shape == (2, 3) and three.amax(0).tolist() == [1, 1, 1], "each pair has a maximum of its own"


def test_argds_embedding_by_hand_and_it_learns() -> None:
    embedding = Embedding([2, 2], 1)
    for layer, row in zip(embedding.maps, ([1.0, 0.0], [0.0, 2.0]), strict=True):
        assert isinstance(layer, nn.Linear)
        layer.weight.data, layer.bias.data = torch.tensor([row]), torch.zeros(1)
    nodes = [torch.tensor([[3.0, 9.0]]), torch.tensor([[9.0, 2.0]])]
    # mapped 3 and 4; with the neighbour's half 3 + 2 = 5 and 4 + 1.5 = 5.5
    found = embedding(nodes, torch.tensor([[0.5]]))[0].tolist()
    assert found == pytest.approx([5 / math.hypot(5, 5.5), 5.5 / math.hypot(5, 5.5)])


def test_argd_trains_its_embedding(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Embedding, dict[str, Tensor]]] = []
    true = ARGD.embedding

    def remember(self: ARGD, *args: Any) -> Embedding:
        embedding = true(self, *args)
        made.append((embedding, {name: value.clone() for name, value in embedding.state_dict().items()}))
        return embedding

    monkeypatch.setattr(ARGD, "embedding", remember)
    brief = Plan(steps=3, lr=0.05)
    ARGD(teacher=brief, student=brief)(untrained_evidence(tiny), generator(0, "defense"))
    ((embedding, before),) = made
    assert any(not torch.equal(value, before[name]) for name, value in embedding.state_dict().items())
