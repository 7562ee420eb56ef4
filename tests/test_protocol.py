"""One protocol for all defenses: what they can reach, and what they are charged for."""

from __future__ import annotations

import copy
import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from test_defenses import SHORT

from attacks.badnets import BadNets
from nba_cli import cost, schema, stages
from nba_cli.bench import Bench
from nba_cli.data import Data, Splits
from nba_cli.data.sets import Npz
from nba_cli.defenses import DEFENSES, Defense
from nba_cli.plan import Plan
from nba_cli.victims.wrn import WideResNet

Run = Callable[..., tuple[int, str]]


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
    monkeypatch.setattr(Bench, "trigger", lambda self: {})  # draws the test set, which is no plain Data here
    monkeypatch.setattr("nba_cli.data.base.Dataset.place", lambda self, data, device: getattr(data, "hidden", data))
    run = schema.DefendRun(
        attack=BadNets(rate=0.2),
        victim=WideResNet(depth=10),
        dataset=Npz(path=str(tiny_file), clean_ratio=0.3),
        train=Plan(steps=2, batch=20),
        defense=DEFENSES[name](**SHORT[name]),
        output=str(tmp_path),
        reference=False,
    )
    out = stages.perform("defend", run)
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


def test_the_meter_counts_images_forward_and_backward_through_copies(tiny: Data) -> None:
    model = WideResNet(depth=10).build(3, tiny)
    meter = cost.Meter(model)
    student = copy.deepcopy(model)
    x, y = tiny.images[:6].float() / 255, tiny.labels[:6]
    with torch.no_grad():
        model(x)
    assert meter.counts == {"forward": 6, "backward": 0}
    _, logits = student.features(x)
    F.cross_entropy(logits, y).backward()
    assert meter.counts == {"forward": 12, "backward": 6}
    moved = {name: value * 1.1 for name, value in student.named_parameters()}
    F.cross_entropy(torch.func.functional_call(student, moved, (x[:2],)), y[:2]).backward()
    assert meter.counts == {"forward": 14, "backward": 8}


def test_peak_memory_is_that_of_the_process_and_starts_anew() -> None:
    device = torch.device("cpu")
    cost.reset_peak(device)
    before = cost.peak(device)["process"]
    with mmap.mmap(-1, 200_000_000) as block:  # pages of its own: what torch allocates may lie in memory freed before
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        assert cost.peak(device)["process"] - before > 150_000_000


@pytest.mark.parametrize(
    ("defense", "forward", "backward"),
    [
        ("none", 0, 0),
        ("ft", 5 * 20, 5 * 20),
        ("clp", 1, 0),
        # teacher: 3 steps; student: teacher forward, clean, 2 crafting steps and the pseudo samples
        ("nba", (3 + 3 * 5) * 20, (3 + 3 * 4) * 20),
    ],
)
def test_what_a_defense_costs_is_in_its_record(
    nba: Run, tmp_path: Path, defense: str, forward: int, backward: int
) -> None:
    settings = {
        "ft": ["defense.train.steps=5", "defense.train.batch=20"],
        "nba": ["defense.teacher.steps=3", "defense.student.steps=3", "defense.teacher.batch=20",
                "defense.student.batch=20", "defense.pseudo=universal", "defense.craft_steps=2"],
    }  # fmt: skip
    short = ("victim.depth=10", "train.steps=2", "train.epochs=null", "dataset.clean_ratio=0.5")
    code, text = nba("defend", f"defense={defense}", *short, *settings.get(defense, []))
    assert code == 0, text
    (folder,) = (tmp_path / "runs/defend").glob("*")
    found = json.loads((folder / "metrics.json").read_text())
    assert found["passes"] == {"forward": forward, "backward": backward}
    assert found["memory"]["process"] > 50_000_000
