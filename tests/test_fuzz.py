"""scripts/fuzz: damaged files, a short run of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_no_damaged_file_ends_in_a_traceback_or_a_wrong_answer() -> None:
    command = [sys.executable, "-m", "scripts.fuzz", "--cases", "104", "--seed", "16"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first == "seed 16" and last.startswith("104 cases in ") and last.endswith(", 0 not sound, seed 16")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "only", "cases", "found"),
    [
        ("from nba_cli.runs import sound; sound.fault = lambda found: None", "metrics.json", "400", "WRONG ANSWER"),
        ("from nba_cli import files; files.unchanged = lambda path, *rest: path", "model.safetensors", "30",
         "WRONG ANSWER"),
        ("from nba_cli.data import npz; npz.UNREADABLE = ()", "set.npz", "30", "traceback"),
        ("import torch; load = torch.load; torch.load = lambda *a, **k: load(*a, **k | {'weights_only': False})",
         "bomb", "30", "code ran"),
    ],
)  # fmt: skip
def test_it_finds_what_is_broken(broken: str, only: str, cases: str, found: str) -> None:
    code = f"{broken}\nimport sys; from scripts.fuzz.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "--cases", cases, "--seed", "16", "--only", only]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and f": {found}\n" in done.stdout, done.stdout + done.stderr
