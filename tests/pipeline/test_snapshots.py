"""Snapshots of a defense: kept while it works, measured after it has returned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from builders import Line
from conftest import Run

from nba_cli.pipeline.snapshots import Snapshots
from nba_cli.runs.folder import CURVE, SNAPSHOTS
from nba_cli.training import Event, silent

TINY = ("victim.depth=10", "train.epochs=3", "train.batch=40", "dataset.clean_ratio=0.3", "attack.rate=0.2")


def test_snapshots_keep_weights_of_the_model_only_and_measure_them_in_order(tmp_path: Path) -> None:
    model = Line()
    taken = Snapshots(tmp_path / SNAPSHOTS, tmp_path / CURVE, model, silent)
    for step in (5, 10):
        state = {name: value + step for name, value in model.state_dict().items()}
        taken(Event("student", step, 10, {"epoch": 1.0}, lambda state=state: state))
    taken(Event("mask", 3, 3, {"epoch": 1.0}, lambda: {"mask": torch.ones(1)}))
    taken(Event("student", 11, 11))
    start = model.layer.bias.detach().clone()
    figures = lambda: {"acc": float((model.layer.bias - start).mean().detach()), "asr": None, "ra": None}  # noqa: E731
    taken.measure(model, figures, {"acc": 0.1, "asr": 1.0, "ra": 0.0}, {"acc": 0.2, "asr": 0.0, "ra": 1.0})
    lines = [json.loads(line) for line in (tmp_path / CURVE).read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["before", "student", "student", "after"]
    assert [line["step"] for line in lines] == [0, 5, 10, 0]
    assert lines[1]["acc"] == pytest.approx(5, abs=1e-4) and lines[2]["acc"] == pytest.approx(10, abs=1e-4)
    assert not (tmp_path / SNAPSHOTS).exists()


def test_snapshots_change_no_result(nba: Run, tmp_path: Path) -> None:
    quick = ("defend", *TINY, "defense=ft", "defense.train.steps=6")
    digests = []
    for more in ((), ("snapshots=true", "overwrite=true")):
        assert nba(*quick, *more)[0] == 0
        (file,) = (tmp_path / "runs" / "defend").glob("*/metrics.json")
        digests.append(json.loads(file.read_text())["digests"]["weights"])
    assert digests[0] == digests[1]
    lines = [json.loads(line) for line in (file.parent / CURVE).read_text().splitlines()]
    found = json.loads(file.read_text())
    assert lines[0]["phase"] == "before" and lines[-1]["asr"] == found["figures"]["asr"]
    assert lines[-2] | {"seal": 0} == lines[-1] | {"phase": "fine-tune", "step": 6, "seal": 0}, (
        "the last snapshot is what came out"
    )
