"""Status, doctor and completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from nba_cli import cli, completion, doctor, status
from nba_cli.errors import Refused


def make(root: Path, name: str, **files: str) -> Path:
    out = root / name
    out.mkdir(parents=True)
    for file, text in files.items():
        (out / file.replace("_", ".")).write_text(text)
    return out


EPOCH = '{"phase": "victim", "step": 10, "epoch": 2, "loss": 0.5}\n'


def test_status_tells_the_four_states_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    figures = '{"figures": {"acc": 0.9123, "asr": null, "ra": null}}'
    make(tmp_path, "attack/done", metrics_json=figures, run_log="x ERROR failed")
    make(tmp_path, "attack/broken", run_log="1 INFO a\n2 ERROR failed\nTraceback")
    make(tmp_path, "defend/stopped", run_log="1 ERROR failed\n2 INFO begun again", history_jsonl=EPOCH)
    running = make(tmp_path, "defend/busy", history_jsonl=EPOCH)
    (tmp_path / ".locks").mkdir()
    with filelock.FileLock(tmp_path / ".locks/busy.lock"):
        states = {name: status.state(tmp_path / name, tmp_path) for name in
                  ("attack/done", "attack/broken", "defend/stopped", "defend/busy")}  # fmt: skip
        code = cli.launch("status", [f"output={tmp_path}"])
    assert list(states.values()) == ["finished", "failed", "interrupted", "running"]
    lines = capfd.readouterr().out.splitlines()
    assert code == 0 and lines[-1].endswith("1 finished, 1 running, 1 interrupted, 1 failed")
    busy = next(line for line in lines if "defend/busy" in line)
    assert lines[0].split() == ["finished", "attack/done", "ACC", "91.23"], "what is finished comes first"
    assert busy.split()[0] == "running" and "victim, epoch 2, loss 0.5000" in busy
    assert running.is_dir()


def test_status_of_nothing_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.launch("status", [f"output={tmp_path}/none"]) == 2
    assert cli.launch("status", ["outptu=x"]) == 2
    errors = capfd.readouterr().err.splitlines()
    assert "no such folder" in errors[0] and "one option, output=FOLDER" in errors[1]


def test_doctor_reports_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "SECONDS", 0.01)
    monkeypatch.setenv("NBA_DATA", str(tmp_path))
    (tmp_path / "cifar10.npz").write_text("")
    assert cli.launch("doctor", []) == 0
    text = capfd.readouterr().out
    for word in ("torch 2", "AMX", "cpu (", "fashion_mini (bundled), cifar10", str(tmp_path), "GB free", "images/s"):
        assert word in text
    assert "svhn" not in text
    assert cli.launch("doctor", ["x"]) == 2


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "nba ",
            {"preview ", "attack ", "defend ", "evaluate ", "table ", "plot ", "status ", "doctor ", "completion "},
        ),
        ("nba de", {"defend "}),
        ("nba defend def", {"defense=", "defense.", "defense_seed="}),
        ("nba defend defense=n", {"defense=nad", "defense=nba", "defense=none"}),
        ("nba defend defense=nba defense.ps", {"defense.pseudo="}),
        ("nba defend attack=blend attack.al", {"attack.alpha="}),
        ("nba frobnicate x", set()),
        ("nba doctor x", set()),
    ],
)
def test_completion_words(line: str, wanted: set[str]) -> None:
    assert set(completion.words(line, list(cli.COMMANDS))) == wanted


def test_bash_completes_in_a_real_shell(tmp_path: Path) -> None:
    """The script that users evaluate, asked as bash asks it."""
    fake = tmp_path / "nba"
    fake.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from nba_cli.cli import main; main()" "$@"\n')
    fake.chmod(0o755)
    script = f"""
    {completion.install_script()}
    COMP_LINE="nba defend defense=n"; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=(nba defend defense = n); COMP_CWORD=4
    compopt() {{ :; }}
    _nba; printf '%s\n' "${{COMPREPLY[@]}}"
    """
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["nad", "nba", "none"], "what stands behind the = sign"


def test_refused_is_an_ordinary_exception() -> None:
    with pytest.raises(Refused):
        status.show(Path("/nonexistent"))
