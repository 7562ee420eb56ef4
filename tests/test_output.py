"""What a person sees: bars, header, tables, pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rich
import torch
from PIL import Image
from rich.console import Console

from attacks.badnets import BadNets
from attacks.blend import Blend
from nba_cli import history, logs, tables
from nba_cli.data import Data
from nba_cli.errors import Refused
from nba_cli.pictures import COLUMNS, GAP, TEXT, amplified, trigger_sheet
from nba_cli.train import silent

ROOT = Path(__file__).parents[1]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A console that is a terminal of 80 columns and remembers."""
    console = Console(force_terminal=True, width=80, record=True, force_interactive=True)
    monkeypatch.setattr(rich, "_console", console)
    return console


nothing = silent


def test_a_terminal_gets_a_bar_per_phase_with_loss_acc_and_time_left(terminal: Console) -> None:
    with logs.Bars(nothing) as bars:
        for phase in ("teacher", "student"):
            bars(phase, 5, 10)
            bars(phase, 10, 10, {"loss": 0.25, "acc": 0.5, "epoch": 1, "lr": 0.1, "seconds": 1.0})
    text = terminal.export_text()  # every frame; the last one counts
    last = text[text.rindex("teacher") :].splitlines()
    for line, phase in zip(last, ("teacher", "student"), strict=True):
        assert line.startswith(phase) and "10/10" in line and "loss 0.2500 ACC 50.00" in line and "left 0:00:00" in line


def test_plain_output_gets_lines_and_no_bar(capfd: pytest.CaptureFixture[str]) -> None:
    logs.setup()
    with logs.Bars(nothing) as bars:
        bars("victim", 5, 10)
        bars("victim", 10, 10, {"loss": 0.25, "acc": 0.5, "epoch": 1, "lr": 0.1, "seconds": 1.0})
    assert capfd.readouterr().out.splitlines() == ["victim     step 10/10  loss 0.2500 ACC 50.00  0 s"]


def test_bars_pass_everything_on_to_the_history(tmp_path: Path) -> None:
    with logs.Bars(history.History(tmp_path / "history.jsonl", resume=False)) as bars:
        bars("victim", 10, 10, {"loss": 0.25, "acc": 0.5, "epoch": 1, "lr": 0.1, "seconds": 1.0})
    assert json.loads((tmp_path / "history.jsonl").read_text())["epoch"] == 1


def test_header_is_a_panel_on_a_terminal(terminal: Console) -> None:
    logs.header("nba attack", {"device": "cpu [2 threads]"})
    text = terminal.export_text()
    assert "╭─ nba attack" in text and "cpu [2 threads]" in text


def test_recording_keeps_the_log_and_the_traceback_but_not_a_refusals(tmp_path: Path) -> None:
    logs.setup()
    with pytest.raises(ZeroDivisionError), logs.recording(tmp_path / "run.log"):
        logs.LOG.info("before")
        raise ZeroDivisionError("ours")
    text = (tmp_path / "run.log").read_text()
    assert "INFO before" in text and "Traceback" in text and "ZeroDivisionError: ours" in text
    with pytest.raises(Refused), logs.recording(tmp_path / "other.log"):
        raise Refused("theirs")
    assert "ERROR theirs" in (tmp_path / "other.log").read_text()
    assert "Traceback" not in (tmp_path / "other.log").read_text()


FIGURES = {"acc": 0.8642, "asr": 0.9997, "ra": 0.0003, "triggered": 9000}


def text_of(table: object) -> list[list[str]]:
    console = Console(width=200, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    console.file.close()
    return [line.split() for line in console.export_text().splitlines()]


def test_before_and_after_in_percent() -> None:
    lines = text_of(tables.figures([("before", FIGURES, None), ("after", FIGURES | {"asr": 0.02}, 12.34)], 0.9898))
    assert lines[0] == ["ACC", "ASR", "RA", "DER", "seconds"]
    assert lines[1] == ["before", "86.42", "99.97", "0.03"]
    assert lines[2] == ["after", "86.42", "2.00", "0.03", "98.98", "12.3"]


def finished(folder: Path, defense: str | None, **changes: object) -> Path:
    parts = {"dataset": {"kind": "cifar10"}, "attack": {"kind": "blend"}, "seed": 0}
    found = {
        "stage": "defend" if defense else "attack",
        "settings": parts | ({"defense": {"kind": defense}} if defense else {}),
        "victim_label": "wrn_16_1",
        "figures": FIGURES,
        "der": 0.5 if defense else None,
        "seconds": {"train": 100.0, **({"defense": 7.0} if defense else {})},
        "precision": "bf16",
        "made": {"date": "2026-01-02T03:04", "commit": "abc", "processor": "CPU X", "threads": 2, "torch": "2"},
    }
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(found | changes))
    return folder


def test_side_by_side_leaves_out_what_is_the_same_everywhere(tmp_path: Path) -> None:
    folders = [finished(tmp_path / name, name) for name in ("none", "nba")]
    lines = text_of(tables.side_by_side(folders))
    assert lines[1] == ["attack", "defense", "ACC", "ASR", "RA", "DER", "seconds"]
    assert lines[2] == ["blend", "none", "86.42", "99.97", "0.03", "50.00", "7.0"]
    for folder, beta in zip(folders, (1.0, 2.0), strict=True):
        record = json.loads((folder / "metrics.json").read_text())
        record["settings"]["defense"] = {"kind": "nba", "beta": beta}
        (folder / "metrics.json").write_text(json.dumps(record))
    lines = text_of(tables.side_by_side(folders))
    assert lines[1][-1] == "varied" and [line[-1] for line in lines[2:]] == ["defense.beta=1.0", "defense.beta=2.0"]


def test_the_trigger_sheet_shows_clean_triggered_and_difference(tiny: Data, tmp_path: Path) -> None:
    attack = BadNets(target=0)
    trigger_sheet(attack, tiny, 3, tmp_path / "trigger.png")
    with Image.open(tmp_path / "trigger.png") as image:
        sheet = np.asarray(image)
    side = 16 * 6
    tops = [GAP + row * (TEXT + side + GAP) + TEXT for row in range(3)]
    first = [sheet[top : top + side, GAP : GAP + side] for top in tops]
    shown = tiny.images[(tiny.labels != 0).nonzero()[0, 0]].permute(1, 2, 0).numpy()
    assert np.array_equal(first[0], shown.repeat(6, 0).repeat(6, 1)), "the first image that is not of the target class"
    assert (first[1][-1, -1] == 255).all() and np.array_equal(first[1][: -3 * 6], first[0][: -3 * 6])
    assert (first[2][: -3 * 6] == 128).all() and (first[2] != 128).any()
    assert sheet.shape[1] == GAP + COLUMNS * (side + GAP)


def test_the_difference_fills_the_range() -> None:
    clean = torch.full((1, 3, 2, 2), 100, dtype=torch.uint8)
    triggered = clean.clone()
    triggered[0, 0, 0, 0], triggered[0, 0, 1, 1] = 110, 95
    difference, factor = amplified(clean, triggered)
    assert factor == pytest.approx(12.7)
    assert difference[0, 0].tolist() == [[255, 128], [128, 64]]


def test_blend_sheets_at_any_size(tmp_path: Path) -> None:
    small = Data(torch.zeros(3, 1, 40, 40, dtype=torch.uint8), torch.tensor([0, 1, 2]))
    trigger_sheet(Blend(), small, 3, tmp_path / "trigger.png")
    with Image.open(tmp_path / "trigger.png") as sheet:
        assert sheet.mode == "RGB"


def test_counts_that_are_no_training_are_said_too(capfd: pytest.CaptureFixture[str]) -> None:
    logs.setup()
    with logs.Bars(nothing) as bars:
        bars("prune", 3, 9)
        bars("prune", 9, 9, {"pruned": 12, "channels": 336})
    assert capfd.readouterr().out.splitlines() == ["prune      step 9/9  pruned 12 channels 336  0 s"]
