"""`make reproduce` and `make tables`: which commands they give, in which order, and what stops it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
STUB = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in *"$FAILS"*) exit 1;; esac
"""


def made(tmp_path: Path, target: str, fails: str, *words: str) -> tuple[int, list[str]]:
    """make's exit status and the commands that it gave to nba and Python, of which those that hold `fails` fail."""
    for program in ("nba", "python"):
        (tmp_path / program).write_text(STUB)
        (tmp_path / program).chmod(0o755)
    (tmp_path / "installed").touch()
    environment = os.environ | {"LOG": str(tmp_path / "log"), "FAILS": fails}
    command = ["make", target, f"BIN={tmp_path}", f"VENV={tmp_path}", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, (tmp_path / "log").read_text().splitlines()


def test_each_experiment_is_run_and_then_tabulated(tmp_path: Path) -> None:
    code, given = made(tmp_path, "reproduce", "nothing fails", "EXPERIMENTS=demo/teacher six_attacks", "RUNS=here")
    assert code == 0
    assert given[0] == "defend --multirun +experiment=demo/teacher output=here"
    assert given[1] == "table output=here experiment=demo/teacher file=here/tables/demo/teacher.md overwrite=true"
    assert [line.split(" file=")[1].split()[0].rpartition(".")[2] for line in given[1:5]] == [
        "md",
        "csv",
        "tex",
        "html",
    ]
    assert given[5] == "defend --multirun +experiment=six_attacks output=here" and len(given) == 10


def test_what_fails_stops_it(tmp_path: Path) -> None:
    code, given = made(tmp_path, "reproduce", "defend", "EXPERIMENTS=demo/teacher six_attacks")
    assert code != 0 and len(given) == 1


def test_its_experiments_are_there() -> None:
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("EXPERIMENTS ?= ")]
    for name in line.removeprefix("EXPERIMENTS ?= ").split():
        assert (ROOT / "conf" / "experiment" / f"{name}.yaml").is_file(), name


def test_tables_are_made_of_every_line_in_every_form(tmp_path: Path) -> None:
    code, given = made(tmp_path, "tables", "nothing fails")
    tables = [line for line in (ROOT / "results/tables.txt").read_text().splitlines() if not line.startswith("#")]
    shown = [line for line in tables if "layout=matrix" in line or "compare=" in line]  # of which there is no CSV
    assert code == 0 and tables and len(given) == 4 * len(tables) - len(shown) + 4
    assert shown and len([each for each in given if ".csv" in each]) == len(tables) - len(shown)
    assert not [each for each in given if ".csv" in each and ("layout=matrix" in each or "compare=" in each)]
    name, words = tables[0].split("|")
    assert given[0] == f"table {words.replace(chr(39), '')} file=results/{name}.md overwrite=true"
    assert given[-4:] == [
        "-m scripts.goals results/six_attacks results/six_attacks/goals.md",
        "-m scripts.selection results/selection results/selection/best.md",
        "-m scripts.demo results/demo results/demo/seeds.md",
        "-m scripts.readme README.md",
    ], "README's last: it copies from the files"
