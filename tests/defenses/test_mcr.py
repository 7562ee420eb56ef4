"""MCR: its curve and the ends of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from builders import halved, untrained

from nba_cli.data import Augment, Data, to_float
from nba_cli.defenses import FT, MCR, Evidence
from nba_cli.defenses._batch_norm import refresh_statistics
from nba_cli.defenses.mcr import Curve
from nba_cli.seeds import generator
from nba_cli.training import Plan
from nba_cli.victims import Network, ResNet, Victim, WideResNet


def test_mcrs_curve_by_hand(tiny: Data) -> None:
    start, end = untrained(tiny, 0), untrained(tiny, 1)
    curve = Curve(untrained(tiny, 2), start, end)
    name = "fc.weight"
    w1, w3 = start.fc.weight, end.fc.weight  # type: ignore[union-attr]
    bend = curve.bend[curve.names[name]]
    assert torch.allclose(bend, (w1 + w3) / 2)  # type: ignore[operator]
    with torch.no_grad():
        bend.add_(1.0)
    assert torch.equal(curve.at(0.0)[name], w1) and torch.equal(curve.at(1.0)[name], w3)  # type: ignore[arg-type]
    assert torch.allclose(curve.at(0.5)[name], 0.25 * w1 + 0.5 * bend + 0.25 * w3)  # type: ignore[operator]
    curve.at(0.1)[name].sum().backward()
    assert bend.grad is not None and torch.allclose(bend.grad, torch.full_like(bend, 2 * 0.1 * 0.9))


@pytest.mark.parametrize("victim", [WideResNet(depth=10), ResNet(depth=18)], ids=["wrn", "tapped"])
def test_mcrs_ends_are_the_suspect_and_its_fine_tuned_copy(tiny: Data, victim: Victim) -> None:
    model, brief = victim.build(3, tiny), Plan(steps=2, batch=8, lr=0.01)
    given = Evidence(model=model, clean=tiny[torch.arange(30)], num_classes=3, augment=Augment(1, True))
    first, last = (MCR(t=t, tune=brief, train=brief)(given, generator(0, "defense")) for t in (0.0, 1.0))
    tuned = FT(train=brief)(given, generator(0, "defense"))
    for end, wanted in ((first, model), (last, tuned)):
        for name, value in wanted.named_parameters():
            assert torch.allclose(end.get_parameter(name), value, atol=1e-6)


def test_mcr_takes_the_middle_with_fresh_statistics_of_augmented_images(
    tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, brief, seen = WideResNet(depth=10).build(3, tiny), Plan(steps=2, batch=8, lr=0.01), []
    shade = lambda images, generator: 0.5 * to_float(images)  # noqa: E731
    given = Evidence(model=model, clean=tiny[torch.arange(30)], num_classes=3, augment=shade)
    point = Curve.point

    def noted(self: Curve, t: float, *rest: Any) -> Network:
        seen.append(t)
        return point(self, t, *rest)

    monkeypatch.setattr(Curve, "point", noted)
    found = MCR(tune=brief, train=brief)(given, generator(0, "defense"))
    assert seen == [0.5]
    fresh = copy.deepcopy(found)
    refresh_statistics(fresh, given.clean, lambda images: 0.5 * to_float(images), torch.float32)
    for name, value in found.named_buffers():
        assert torch.equal(fresh.get_buffer(name), value), "all clean images, as the training saw them"


def test_mcr_trains_the_bend_all_along_the_curve(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    small = halved(tiny)[torch.arange(30)]
    given = Evidence(model=untrained(small), clean=small, num_classes=3, augment=Augment(1, True))
    seen, forward = [], Curve.forward

    def noted(self: Curve, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append(t.item())
        return forward(self, x, t)

    monkeypatch.setattr(Curve, "forward", noted)
    brief = Plan(steps=30, batch=2, lr=0.01)
    MCR(tune=Plan(steps=1, batch=2), train=brief)(given, generator(0, "defense"))
    assert len(set(seen)) == 30 and 0 <= min(seen) < 0.2 and 0.8 < max(seen) <= 1
