"""`nba status`."""

from __future__ import annotations

import json
from pathlib import Path

import filelock
import pytest
import rich
from records import EMPTY

from nba_cli import console
from nba_cli.cli import main, status
from nba_cli.cli.journal import Job, Journal
from nba_cli.errors import Refused


def make(root: Path, name: str, **files: str) -> Path:
    out = root / name
    out.mkdir(parents=True)
    for file, text in files.items():
        (out / file.replace("_", ".")).write_text(text)
    return out


EPOCH = '{"phase": "victim", "step": 10, "epoch": 2, "loss": 0.5}\n'


def test_status_tells_the_four_states_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    figures = json.dumps(EMPTY | {"stage": "attack", "settings": {}, "figures": EMPTY["figures"] | {"acc": 0.9123}})
    make(tmp_path, "attack/done", metrics_json=figures, run_log="x ERROR failed")
    make(tmp_path, "attack/broken", run_log="1 INFO a\n2 ERROR failed\nTraceback")
    make(tmp_path, "defend/stopped", run_log="1 ERROR failed\n2 INFO begun again", history_jsonl=EPOCH)
    running = make(tmp_path, "defend/busy", history_jsonl=EPOCH)
    (tmp_path / ".locks").mkdir()
    with filelock.FileLock(tmp_path / ".locks/busy.lock"):
        states = {name: status.state(tmp_path / name, tmp_path) for name in
                  ("attack/done", "attack/broken", "defend/stopped", "defend/busy")}  # fmt: skip
        code = main.launch("status", [f"output={tmp_path}"])
    assert list(states.values()) == ["finished", "failed", "interrupted", "running"]
    lines = capfd.readouterr().out.splitlines()
    assert code == 0 and lines[-1].endswith("1 finished, 1 running, 1 interrupted, 1 failed")
    busy = next(line for line in lines if "defend/busy" in line)
    assert lines[0].split() == ["finished", "attack/done", "ACC", "91.23"], "what is finished comes first"
    assert busy.split()[0] == "running" and "victim, epoch 2, loss 0.5000" in busy
    assert running.is_dir()


def test_figures_stand_beside_their_runs_or_below_where_the_terminal_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = "attack/broken/metrics.json: cannot be used (no JSON). Do the run again, or delete its folder."
    runs = [("finished", "attack/a", "ACC 91.23  ASR 100.00"), ("running", "attack/longer", "victim, epoch 2")]
    runs += [("interrupted", "attack/new", ""), ("finished", "attack/broken", damaged)]
    needed = 13 + len("attack/longer") + 2 + len("ACC 100.00  ASR 100.00  RA 100.00")
    monkeypatch.setattr(rich.get_console(), "width", needed)
    assert status.run_lines(runs) == [
        "finished     attack/a       ACC 91.23  ASR 100.00",
        "running      attack/longer  victim, epoch 2",
        "interrupted  attack/new",
        f"finished     attack/broken  {damaged}",
    ], "one long line is no reason to part the others from their figures"
    monkeypatch.setattr(rich.get_console(), "width", needed - 1)
    assert status.run_lines(runs) == [
        "finished     attack/a\n             ACC 91.23  ASR 100.00",
        "running      attack/longer\n             victim, epoch 2",
        "interrupted  attack/new",
        f"finished     attack/broken\n             {damaged}",
    ]


def test_status_writes_nothing_and_counts_what_is_damaged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, "attack/damaged", metrics_json="{")
    make(tmp_path, "attack/stopped", run_log="1 INFO a")
    assert main.launch("status", [f"output={tmp_path}"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1].endswith("0 finished, 0 running, 1 interrupted, 0 failed, 1 damaged")
    assert any(line.startswith("damaged") and "cannot be used" in line for line in lines)
    assert not (tmp_path / ".locks").exists()


def test_a_lock_that_cannot_be_taken_stops_no_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = make(tmp_path, "attack/stopped", run_log="1 INFO a")
    make(tmp_path, ".locks").joinpath("stopped.lock").touch()

    def read_only(*_: object, **__: object) -> None:
        raise PermissionError("a file system that is mounted for reading")

    monkeypatch.setattr(filelock, "FileLock", read_only)
    assert status.state(out, tmp_path) == "interrupted"


def test_status_of_nothing_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.launch("status", [f"output={tmp_path}/none"]) == 2
    assert main.launch("status", ["outptu=x"]) == 2
    errors = capfd.readouterr().err.splitlines()
    assert "no such folder" in errors[0] and "one option, output=FOLDER" in errors[1]


def test_refused_is_an_ordinary_exception() -> None:
    with pytest.raises(Refused):
        status.show(Path("/nonexistent"))


def test_status_shows_a_sweep_from_another_shell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path / ".sweeps" / "now")
    journal.open("attack", ["seed=0,1,2"], [], 3)
    journal.note(Job(number=0, overrides=[], end="finished", seconds=30.0))
    journal.note(Job(number=1, overrides=[], folder=str(tmp_path / "attack" / "gone")))
    console.setup()
    status.show(tmp_path)
    text = capfd.readouterr().out
    assert "sweep: 1 of 3 done, 0 running, 0 failed: nba attack --multirun seed=0,1,2" in text
    journal.lock.release()
    status.show(tmp_path)
    assert "stopped. Resume with: nba attack" in capfd.readouterr().out
