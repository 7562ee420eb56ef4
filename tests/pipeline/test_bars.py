"""Bars on a terminal, lines elsewhere, and the history behind them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from nba_cli import console
from nba_cli.pipeline.bars import Bars
from nba_cli.pipeline.history import History
from nba_cli.training import Event, silent

nothing = silent


TRAINED = {"loss": 0.25, "acc": 0.5, "epoch": 1, "lr": 0.1, "seconds": 1.0}


def test_a_terminal_gets_a_bar_per_phase_with_loss_acc_and_time_left(terminal: Console) -> None:
    with Bars(nothing) as bars:
        for phase in ("teacher", "student"):
            bars(Event(phase, 5, 10))
            bars(Event(phase, 10, 10, TRAINED))
    text = terminal.export_text()  # every frame; the last one counts
    last = text[text.rindex("teacher") :].splitlines()
    for line, phase in zip(last, ("teacher", "student"), strict=True):
        assert line.startswith(phase) and "10/10" in line and "loss 0.2500 ACC 50.00" in line and "left 0:00:00" in line


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_bar_over_all_jobs_keeps_its_count_and_all_its_words(terminal: Console, width: int) -> None:
    terminal.width = width
    note = "1 running, 0 failed, about 70 to 88 s left and 4 runs of unknown length, loading and measuring not counted"
    with console.jobs_bar() as bar:
        bar.add_task("", total=16, completed=3, note=note)
    text = terminal.export_text()  # every frame; the last one counts
    _, count, words = text[text.rindex("all jobs") :].partition(" 3/16 ")
    assert count and " ".join(words.split()) == note


def test_plain_output_gets_lines_and_no_bar(capfd: pytest.CaptureFixture[str]) -> None:
    console.setup()
    with Bars(nothing) as bars:
        bars(Event("victim", 5, 10))
        bars(Event("victim", 10, 10, TRAINED))
    assert capfd.readouterr().out.splitlines() == ["victim     step 10/10  loss 0.2500 ACC 50.00  0 s"]


def test_bars_pass_everything_on_to_the_history(tmp_path: Path) -> None:
    with Bars(History(tmp_path / "history.jsonl", resume=False)) as bars:
        bars(Event("victim", 10, 10, TRAINED))
    assert json.loads((tmp_path / "history.jsonl").read_text())["epoch"] == 1


def test_counts_that_are_no_training_are_said_too(capfd: pytest.CaptureFixture[str]) -> None:
    console.setup()
    with Bars(nothing) as bars:
        bars(Event("prune", 3, 9))
        bars(Event("prune", 9, 9, {"pruned": 12, "channels": 336}))
    assert capfd.readouterr().out.splitlines() == ["prune      step 9/9  pruned 12 channels 336  0 s"]


def test_history_drops_what_its_checkpoint_has_not_seen(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    first = History(file, resume=False)
    for epoch in (1, 2, 3):
        first(Event("victim", 10 * epoch, 50, {"loss": 1.0, "acc": 0.5, "epoch": epoch, "seconds": 2.0 * epoch}))
        first(Event("victim", 10 * epoch + 1, 50))
    second = History(file, resume=True)  # the checkpoint was that of epoch 2
    assert second.seconds == 6.0, "what is known before the first report"
    second(Event("victim", 30, 50, {"loss": 2.0, "acc": 0.5, "epoch": 3, "seconds": 7.0}))
    assert second.seconds == 7.0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["epoch"], line["loss"]) for line in lines] == [(1, 1.0), (2, 1.0), (3, 2.0)]
    History(file, resume=False)(Event("victim", 10, 50, {"loss": 3.0, "acc": 0.5, "epoch": 1, "seconds": 1.0}))
    assert len(file.read_text().splitlines()) == 1
