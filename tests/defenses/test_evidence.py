"""What defenses can reach: the whole stage runs with spies in the place of what they must not see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from builders import SHORT

from attacks import BadNets
from nba_cli.data import Data, Splits
from nba_cli.data.npz import Npz
from nba_cli.defenses import DEFENSES, Defense
from nba_cli.pipeline import perform
from nba_cli.pipeline.workbench import Workbench
from nba_cli.runs.settings import DefendRun
from nba_cli.training import Plan
from nba_cli.victims import WideResNet


class Spied:
    """Raises when anything of it is read while a defense runs."""

    running = False

    def __init__(self, hidden: Any, name: str) -> None:
        self.__dict__.update(hidden=hidden, name=name)

    def __getattr__(self, attribute: str) -> Any:
        assert not Spied.running, f"a defense read {self.name}.{attribute}"
        return getattr(self.hidden, attribute)

    def __len__(self) -> int:
        assert not Spied.running, f"a defense asked for the length of {self.name}"
        return len(self.hidden)


@pytest.mark.parametrize("name", DEFENSES)
def test_no_defense_reads_the_trigger_or_the_test_set(
    name: str, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole stage runs with spies in the place of the test set and of the trigger."""
    load, stamp, call = Npz.load, BadNets.stamp, DEFENSES[name].__call__

    def spied_load(self: Npz) -> Splits:
        splits = load(self)
        splits.test = Spied(splits.test, "test")  # type: ignore[assignment]
        return splits

    def spied_stamp(self: BadNets, *args: Any, **kwargs: Any) -> torch.Tensor:
        assert not Spied.running, "a defense stamped a trigger"
        return stamp(self, *args, **kwargs)

    def watched(self: Defense, *args: Any) -> Any:
        Spied.running = True
        try:
            return call(self, *args)
        finally:
            Spied.running = False

    monkeypatch.setattr(Npz, "load", spied_load)
    monkeypatch.setattr(BadNets, "stamp", spied_stamp)
    monkeypatch.setattr(DEFENSES[name], "__call__", watched)
    monkeypatch.setattr(
        Workbench, "trigger_figures", lambda self, attack: {}
    )  # draws the test set, which is no plain Data here
    monkeypatch.setattr("nba_cli.data.base.Dataset.place", lambda self, data, device: getattr(data, "hidden", data))
    run = DefendRun(
        attack=BadNets(rate=0.2),
        victim=WideResNet(depth=10),
        dataset=Npz(path=str(tiny_file), clean_ratio=0.3),
        train=Plan(steps=2, batch=20),
        defense=DEFENSES[name](**SHORT[name]),
        output=str(tmp_path),
        reference=False,
    )
    out = perform.perform("defend", run)
    assert (out / "metrics.json").is_file()


def test_the_spy_sees_a_defense_that_peeks() -> None:
    spy = Spied(Data(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)), "test")
    assert len(spy.images) == len(spy) == 2
    Spied.running = True
    try:
        for peek in (lambda: spy.images, lambda: len(spy)):
            with pytest.raises(AssertionError, match="a defense"):
                peek()
    finally:
        Spied.running = False
