"""ARGD: its graph of attention maps and their embedding, by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from builders import untrained, untrained_evidence
from torch import Tensor, nn

from nba_cli.data import Data, to_float
from nba_cli.defenses import ARGD, argd
from nba_cli.defenses.argd import Embedding, edges, standard
from nba_cli.seeds import generator
from nba_cli.training import Partner, Plan


def test_argds_graph_by_hand() -> None:
    deep = torch.zeros(2, 1, 2, 2)  # energy in the first of four positions; of the second image in the last
    deep[0, 0, 0, 0], deep[1, 0, 1, 1] = 1.0, 1.0
    shallow = torch.zeros(2, 1, 4, 4)
    shallow[:, 0, 2:, 2:] = 2.0  # in the last quarter: unit norm puts 1/2 on each of 4 pixels, and so does pooling
    nodes = ARGD(weights=[1.0, 1.0]).nodes([shallow, deep])
    assert nodes[0].shape == (2, 1, 4, 4) and nodes[0].flatten(1).norm(dim=1).tolist() == pytest.approx([1, 1])
    # squared distances: 1 + 1/4 and (1 - 1/2)^2; the largest one is 1
    assert edges(nodes)[:, 0].tolist() == pytest.approx([1, 0.2])
    middle = torch.ones(2, 5, 4, 4)
    three = edges(ARGD().nodes([shallow, middle, deep]))
    assert three.shape == (2, 3) and three.amax(0).tolist() == [1, 1, 1], "each pair has a maximum of its own"


def test_argds_embedding_compares_each_map_of_the_teacher_with_all_of_the_students_by_hand() -> None:
    embedding = Embedding(2, 3)
    for value in embedding.parameters():
        value.data.zero_()  # nothing is to be told apart, so attention is spread evenly
    corner = torch.zeros(2, 1, 2, 2)
    corner[:, 0, 0, 0] = 1.0
    even, wide = torch.full((2, 1, 2, 2), 0.5), torch.full((2, 1, 4, 4), 0.25)
    assert embedding([wide, even], [wide, even]) == 0, "pooled, they are one map"
    # the corner's square has unit norm in one place, the even ones' 1/2 in four: (1/4 + 3/4) / 4 on 2x2; pooled up to
    # 4x4, the corner is 1/2 in four places beside 1/4 in sixteen: (4 + 12) / 16 / 16
    assert embedding([wide, even], [corner, even]).item() == pytest.approx(1 / 4)
    assert embedding([wide, corner], [wide, even]).item() == pytest.approx((1 / 16 + 1 / 4) / 2)
    teacher, student = embedding.places
    teacher.data[1], student.data[0] = 1.0, 1000.0
    rows = embedding.attention([wide, corner], [wide, even])[0]
    assert rows.tolist() == [[0.5, 0.5], [1.0, 0.0]], "places alone make the second look at the first"
    assert embedding([wide, corner], [wide, even]).item() == pytest.approx(1 / 32)


def test_argds_attention_is_that_of_layers_with_batch_norm() -> None:
    torch.manual_seed(0)
    student, teacher = ([torch.rand(5, 1, size, size) for size in (4, 2)] for _ in range(2))
    ours = Embedding(2, 3)

    def normed(layer: nn.Module, x: Tensor) -> Tensor:
        return nn.Sequential(layer, nn.BatchNorm1d(layer(x).shape[1], affine=False)).train()(x)

    queries = [normed(layer, m.mean(3).mean(2)) for layer, m in zip(ours.queries, teacher, strict=True)]
    keys = [normed(layer, m.mean(3).mean(2)).relu() for layer, m in zip(ours.keys, student, strict=True)]
    mixed = normed(ours.bilinear, torch.stack(keys, dim=1).view(10, 3)).view(5, 2, 2, 3)
    found = ours.attention(student, teacher)
    for n, t in itertools.product(range(5), range(2)):
        scores = [mixed[n, s, t] @ queries[t][n] + ours.places[0][t] @ ours.places[1][s] for s in range(2)]
        want = (torch.stack(scores) / math.sqrt(3)).softmax(0)
        assert torch.allclose(found[n, t], want, atol=1e-5)


def test_a_batch_of_one_image_is_as_its_mean() -> None:
    assert standard(torch.tensor([[3.0, -2.0]])).tolist() == [[0, 0]]
    assert standard(torch.tensor([[3.0], [5.0]])).flatten().tolist() == pytest.approx([-1, 1], abs=1e-4)


def test_argds_loss_is_that_of_nodes_edges_and_embedding(tiny: Data) -> None:
    student, teacher, embedding = untrained(tiny, 1).eval(), untrained(tiny, 2).eval(), Embedding(2, 4)
    x, y = to_float(tiny.images[:12]), tiny.labels[:12]
    given = ARGD(weights=[3.0, 5.0], edge=70.0, embed=200.0)
    loss, logits = given.objective(teacher, embedding)(student, x, y)
    ours, theirs = (given.nodes(network.features(x)[0]) for network in (student, teacher))
    wanted = F.cross_entropy(student(x), y) + 200 * embedding(ours, theirs)
    for weight, a, b in zip((3.0, 5.0), ours, theirs, strict=True):
        wanted = wanted + weight * (a - b).square().sum() / 12
    (one,), (two,) = edges(ours).T, edges(theirs).T
    wanted = wanted + 70 * sum((a - b) ** 2 for a, b in zip(one, two, strict=True)) / 12
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5) and torch.equal(logits, student(x))
    loss.backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert all(weight.grad is not None for weight in embedding.parameters())


def test_argd_trains_its_embedding(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Embedding, dict[str, Tensor]]] = []
    rates: list[tuple[float, float]] = []
    true = ARGD.embedding

    def remember(self: ARGD, *args: Any) -> Embedding:
        embedding = true(self, *args)
        made.append((embedding, {name: value.clone() for name, value in embedding.state_dict().items()}))
        return embedding

    def noted(module: nn.Module, optimizer: torch.optim.Optimizer) -> Partner:
        rates.append((optimizer.defaults["lr"], optimizer.defaults["momentum"]))
        return Partner(module, optimizer)

    monkeypatch.setattr(ARGD, "embedding", remember)
    monkeypatch.setattr(argd, "Partner", noted)
    teacher, student = Plan(steps=3, lr=0.05), Plan(steps=3, lr=0.03)
    ARGD(teacher=teacher, student=student)(untrained_evidence(tiny), generator(0, "defense"))
    ((embedding, before),) = made
    assert rates == [(0.03, 0.9)], "the student's peak rate"
    assert any(not torch.equal(value, before[name]) for name, value in embedding.state_dict().items())
