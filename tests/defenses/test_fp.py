"""Fine-pruning: its ranking of channels and where it stops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from builders import untrained, untrained_evidence
from torch import Tensor, nn

from nba_cli.data import Augment, Data, hold_out
from nba_cli.defenses import FP, Evidence, fp
from nba_cli.defenses.fp import classifier
from nba_cli.errors import Refused
from nba_cli.seeds import generator
from nba_cli.training import Plan
from nba_cli.victims import Network


def test_fp_ranks_channels_as_the_classifier_reads_them(tiny: Data) -> None:
    model = untrained(tiny).eval()
    head, activity = classifier(model, tiny, torch.float32)
    stages, _ = model.features(tiny.images.float() / 255)
    norm = model.get_submodule("bn1")
    wanted = F.relu(norm(stages[-1])).mean((0, 2, 3))
    assert head is model.fc and torch.allclose(activity, wanted, atol=1e-4)


def test_fp_prunes_the_least_active_and_undoes_the_step_too_far(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    given = untrained_evidence(tiny)
    _, held = hold_out(given.clean, 0.2, generator(0, "defense"))
    clean, _ = hold_out(given.clean, 0.2, generator(0, "defense"))
    _, activity = classifier(given.model, clean, torch.float32)
    order = activity.argsort().tolist()

    def accuracy(model: Network, data: Data, *_: Any) -> float:
        assert data.digest() == held.digest(), "the hold-out decides"
        pruned = int((model.fc.weight == 0).all(0).sum())  # type: ignore[union-attr]
        return 0.9 if pruned <= 18 else 0.79

    monkeypatch.setattr(fp, "accuracy", accuracy)
    cured = FP(step=0.1, train=Plan(steps=3, lr=0.05))(given, generator(0, "defense"))
    zero = (cured.fc.weight == 0).all(0).nonzero().flatten().tolist()  # type: ignore[union-attr]
    assert set(zero) == set(order[:18]), "three steps of 6 of 64 channels, still zero after fine-tuning"
    assert not torch.equal(cured.fc.bias, given.model.fc.bias), "fine-tuned"  # type: ignore[arg-type]


def test_fp_refuses_a_step_that_takes_all_channels(tiny: Data) -> None:
    """It would prune nothing, as the step too far is undone."""
    with pytest.raises(Refused, match=r"defense.step=0.999: one step takes all 64 channels"):
        FP(step=0.999)(untrained_evidence(tiny), generator(0, "defense"))
    with pytest.raises(Refused, match=r"defense.step=1: must lie in \(0,1\)"):
        FP(step=1.0)


class Flat(Network):
    """Four maps of 2x2, as bright as their biases, are flattened for the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(16, 3)
        nn.init.zeros_(self.conv.weight)
        self.conv.bias = nn.Parameter(torch.tensor([2.0, 1.0, 4.0, 3.0]))

    def stages(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        maps = self.conv(x)
        return [maps], self.fc(maps.flatten(1))


def test_fp_prunes_all_columns_of_a_channel_that_is_flattened(monkeypatch: pytest.MonkeyPatch) -> None:
    data, told = Data(torch.zeros(6, 3, 4, 4, dtype=torch.uint8), torch.arange(6) % 3), []
    given = Evidence(model=Flat(), clean=data, num_classes=3, augment=Augment(0, False))
    falls = iter([0.9, 0.9, 0.5])
    monkeypatch.setattr(fp, "accuracy", lambda *_: next(falls))
    cured = FP(step=0.25, train=Plan(steps=1, lr=0.1))(given, generator(0, "defense"), told.append)
    zero = (cured.fc.weight == 0).all(0).nonzero().flatten().tolist()  # type: ignore[union-attr]
    assert zero == [4, 5, 6, 7], "the least active channel is the second"
    (figures,) = [event.scalars for event in told if event.phase == "prune" and event.scalars]
    assert figures == {"pruned": 1, "channels": 4}
