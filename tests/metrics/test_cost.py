"""What a defense is charged for."""

from __future__ import annotations

import copy
import json
import mmap
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import Run

from nba_cli.data import Data
from nba_cli.metrics import cost
from nba_cli.metrics.cost import Meter
from nba_cli.victims import WideResNet


def test_the_meter_counts_images_forward_and_backward_through_copies(tiny: Data) -> None:
    model = WideResNet(depth=10).build(3, tiny)
    meter = Meter(model)
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
        # teacher: 3 steps; student: teacher and suspect forward, clean, and half of it 2 crafting steps and the samples
        ("nba", (3 + 3 * 2) * 20 + 3 * (20 + 3 * 10), 3 * 20 + 3 * (20 + 3 * 10)),
    ],
)
def test_what_a_defense_costs_is_in_its_record(
    nba: Run, tmp_path: Path, defense: str, forward: int, backward: int
) -> None:
    settings = {
        "ft": ["defense.train.steps=5", "defense.train.batch=20"],
        "nba": ["defense.source=tuned", "defense.teacher.steps=3", "defense.student.steps=3",
                "defense.teacher.batch=20", "defense.student.batch=20",
                "defense.pseudo=universal", "defense.craft_steps=2"],
    }  # fmt: skip
    short = ("victim.depth=10", "train.steps=2", "train.epochs=null", "dataset.clean_ratio=0.5")
    code, text = nba("defend", f"defense={defense}", *short, *settings.get(defense, []))
    assert code == 0, text
    (folder,) = (tmp_path / "runs/defend").glob("*")
    found = json.loads((folder / "metrics.json").read_text())
    assert found["passes"] == {"forward": forward, "backward": backward}
    assert found["memory"]["process"] > 50_000_000
