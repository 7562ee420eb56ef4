"""Fine-pruning: its ranking of channels and where it stops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from builders import untrained, untrained_evidence

from nba_cli.data import Data, hold_out
from nba_cli.defenses import FP, fp
from nba_cli.defenses.fp import classifier
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


def test_fp_prunes_something_however_long_its_step(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of all channels would leave none, so one of them stays."""
    monkeypatch.setattr(fp, "accuracy", lambda *_: 0.9)
    cured = FP(step=1.0, train=Plan(steps=1, lr=0.05))(untrained_evidence(tiny), generator(0, "defense"))
    assert int((cured.fc.weight == 0).all(0).sum()) == 63  # type: ignore[union-attr]
