"""What defenses can reach: the whole stage runs with spies in the place of what they must not see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from builders import SHORT, untrained

from attacks import BadNets
from nba_cli.data import Data, Splits
from nba_cli.data.npz import Npz
from nba_cli.defenses import DEFENSES, Defense, Evidence
from nba_cli.pipeline import perform
from nba_cli.pipeline.workbench import Workbench
from nba_cli.runs.settings import DefendRun
from nba_cli.training import Plan
from nba_cli.victims import VGG, WideResNet


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


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the runs of all defenses: they clean the same victim."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("name", DEFENSES)
def test_no_defense_reads_the_trigger_or_the_test_set(
    name: str, tiny_file: Path, output: Path, monkeypatch: pytest.MonkeyPatch
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
        output=str(output),
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


def images(count: int = 4, channels: int = 3, side: int = 16) -> torch.Tensor:
    return torch.zeros(count, channels, side, side, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clean": Data(images(0), torch.arange(0))}, "clean: there is no image in it"),
        ({"clean": Data(images(), torch.arange(4))}, "clean: labels from 0 to 3, but num_classes=3"),
        ({"clean": Data(images(), torch.arange(4) - 2)}, "clean: labels from -2 to 1, but num_classes=3"),
        ({"num_classes": 5}, "num_classes=5: the model tells 3 classes apart"),
        (
            {"clean": Data(images(channels=1), torch.arange(4) % 3)},
            "images of 1 channels, and the model takes 3",
        ),
        ({"model": torch.nn.Conv2d(3, 3, 1)}, "model: a Conv2d is no victim; wrap it"),
        ({"model": VGG(depth=16), "clean": Data(images(), torch.arange(4) % 3)}, "does not take images of 3x16x16"),
    ],
)
def test_evidence_that_does_not_go_together(changes: dict[str, Any], words: str, tiny: Data) -> None:
    given: dict[str, Any] = {"model": untrained(tiny), "clean": tiny[torch.arange(9)], "num_classes": 3} | changes
    if isinstance(given["model"], VGG):
        given["model"] = given["model"].build(3, Data(images(side=32), torch.arange(4) % 3))
    with pytest.raises(ValueError, match=words):
        Evidence(**given)


@pytest.mark.parametrize("training", [True, False])
def test_looking_at_the_evidence_leaves_the_model_as_it_was(tiny: Data, training: bool) -> None:
    model = untrained(tiny).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Evidence(model=model, clean=tiny[torch.arange(9)], num_classes=3)
    assert model.training is training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
