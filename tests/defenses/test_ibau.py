"""I-BAU: its hypergradient, its search and its objective, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from builders import untrained
from torch import Tensor

from nba_cli.data import Data, to_float
from nba_cli.defenses import IBAU
from nba_cli.defenses.ibau import hypergradient
from nba_cli.seeds import generator
from nba_cli.training import Plan


def test_ibaus_hypergradient_on_a_quadratic() -> None:
    """inner = -a/2 |d - c w|^2 has its maximum at d* = c w; the total derivative of the outer loss follows by hand."""
    a, c, b, t = 2.0, 1.5, 0.7, torch.tensor([0.3, -0.2])
    w = torch.tensor([0.8, -0.5], requires_grad=True)
    inner = lambda d: -a / 2 * (d - c * w).square().sum()  # noqa: E731
    outer = lambda d: 0.5 * (d - t).square().sum() + 0.5 * b * w.square().sum()  # noqa: E731
    best = c * w.detach()
    loss, (found,) = hypergradient(outer, inner, best, [w], step=0.3, iterations=60)
    wanted = c * (best - t) + b * w.detach()
    assert torch.allclose(found, wanted, atol=1e-5)
    assert loss.item() == pytest.approx(outer(best).item())
    # K steps of the fixed point from 0 are K terms of a geometric series in 1 - step a = 0.4
    _, (short,) = hypergradient(outer, inner, best, [w], step=0.3, iterations=3)
    series = 0.6 * (1 + 0.4 + 0.16)
    assert torch.allclose(short, series * c * (best - t) + b * w.detach(), atol=1e-5)


def test_ibaus_search_is_one_pass_an_epoch_from_zero(tiny: Data) -> None:
    model, clean, drawn = untrained(tiny).eval(), tiny[torch.arange(30)], generator(0, "x")

    def wanted() -> Tensor:
        delta = torch.zeros(1, 3, 16, 16)
        for part in torch.randperm(30, generator=drawn).split(20):
            x, delta = to_float(clean.images[part]), delta.detach().requires_grad_()
            loss = F.cross_entropy(model(x + delta), model(x).argmax(1)) - 0.5 * delta.square().sum()
            delta = delta + 2 * torch.autograd.grad(loss, delta)[0]
        return delta.detach()

    defense = IBAU(rate=2.0, decay=0.5, train=Plan(epochs=2, batch=20, lr=1e-3))
    found, first = defense.found_on(clean, model, generator(0, "x")), wanted()
    for _ in range(2):  # batches
        assert torch.allclose(next(found), first, atol=1e-6) and first.norm() > 0
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(2)
    assert torch.allclose(next(found), wanted(), atol=1e-6), "the next epoch searches on the network as it is by then"
    bounded = replace(defense, bound=0.5 * first.norm().item())
    model, drawn = untrained(tiny).eval(), generator(0, "x")
    assert torch.allclose(next(bounded.found_on(clean, model, drawn)), first / 2, atol=1e-6)
    wide = replace(defense, bound=2 * first.norm().item())
    assert torch.allclose(next(wide.found_on(clean, model, generator(0, "x"))), first, atol=1e-6)


@pytest.mark.parametrize(("portion", "carry"), [(0.01, 1), (1 / 3, 4), (1.0, 12)])
def test_ibaus_objective_carries_the_hypergradient(tiny: Data, portion: float, carry: int) -> None:
    """A part of the batch, one image at least, carries d*; Phi is that of all. portion = 1 is the paper's loss."""
    x, y = to_float(tiny.images[:12]), tiny.labels[:12]
    delta = 0.1 * torch.rand(1, 3, 16, 16, generator=generator(0, "d"))
    defense, model = IBAU(portion=portion, iterations=2, step=0.2, decay=0.3), untrained(tiny).train()
    loss, _ = defense.objective(model, x, y, iter([delta]))
    loss.backward()
    weights = list(model.eval().parameters())
    outer = lambda d: F.cross_entropy(model(x[:carry] + d), y[:carry])  # noqa: E731
    inner = lambda d: F.cross_entropy(model(x + d), y) - 0.3 * d.square().sum()  # noqa: E731
    _, gradients = hypergradient(outer, inner, delta, weights, 0.2, 2)
    clean = F.cross_entropy(model(x[carry:]), y[carry:], reduction="sum")
    assert loss.item() == pytest.approx((clean + carry * outer(delta)).item() / 12, rel=1e-5)
    plain = torch.autograd.grad(clean, weights, allow_unused=True, materialize_grads=True)
    for weight, one, two in zip(weights, gradients, plain, strict=True):
        assert weight.grad is not None and torch.allclose(weight.grad, (carry * one + two) / 12, atol=1e-5)
