"""`torchrun … nba attack`: one run on two processes, of which one writes and speaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest
from conftest import Run
from running import NBA, SHORT, lasting, metrics, results
from two_ranks import environment, free_port

from nba_cli.cli import tasks

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
BRIEF = (*SHORT, "train.epochs=2", "reference=false")
WHOLE = (*SHORT, "train.epochs=2", "reference=true")


def torchrun(tmp_path: Path, tiny_file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What torchrun says of an nba command on two processes, under tmp_path/runs."""
    data = ["dataset=npz", f"dataset.path={tiny_file}", f"output={tmp_path}/runs"]
    env = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [*TORCHRUN, *NBA, *words, *data]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=600)


def test_an_attack_on_two_processes_leaves_one_run_of_the_same_form(nba: Run, tmp_path: Path, tiny_file: Path) -> None:
    done = torchrun(tmp_path, tiny_file, "attack", *WHOLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("nba attack") == 2 and done.stdout.count("folder: ") == 2, "and its clean victim"
    assert done.stderr == ""
    assert "already finished" not in done.stdout, "the second process began no run of its own"
    assert "ranks     2, which train a victim and measure together" in done.stdout
    out, clean = sorted(results(tmp_path, "attack"), key=lambda out: "none" in out.name)
    both = metrics(out)
    assert both["reference"]["acc"] == metrics(clean)["figures"]["acc"] and metrics(clean)["counts"]["ranks"] == 2
    code, text = nba("attack", *WHOLE, "overwrite=true")
    assert code == 0 and "ranks" not in text
    alone = metrics(out)
    assert set(results(tmp_path, "attack")) == {out, clean}, "as one process names it"
    assert both["counts"].pop("ranks") == 2 and both["made"].keys() == alone["made"].keys()
    assert lasting(both).keys() == lasting(alone).keys() and both["figures"].keys() == alone["figures"].keys()
    assert both["digests"].keys() == alone["digests"].keys()
    assert both["digests"]["poisoned"] == alone["digests"]["poisoned"]
    assert both["digests"]["weights"] != alone["digests"]["weights"], "batch norm has seen the parts of batches"


@pytest.mark.slow
def test_a_refusal_is_one_line_and_ends_both(tmp_path: Path, tiny_file: Path) -> None:
    """Both processes, whose exit codes torchrun does not tell."""
    words = ("attack", *BRIEF, "attack.rate=0.9", "dataset=npz", f"dataset.path={tiny_file}", f"output={tmp_path}/runs")
    port = free_port()
    started = [
        subprocess.Popen(
            [*NBA, *words], env=os.environ | environment(rank, port), stdout=PIPE, stderr=STDOUT, text=True
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300)[0].splitlines() for process in started]
    first, second = ([line for line in lines if not line.startswith("[Gloo]")] for lines in said)  # PyTorch 2.9
    assert [process.returncode for process in started] == [2, 2]
    assert len(first) == 1 and first[0].startswith("nba: attack.rate=0.9 asks for 216 poisoned images")
    assert second == [] and list((tmp_path / "runs/attack").iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("attack", "--multirun", "seed=0,1"),
        ("defend", "+experiment=demo"),
        ("defend", "--config-dir", "{own}", "+experiment=demo"),
        ("defend", "+experiment=mine", "--config-dir={own}"),
        ("defend", "-cd", "{own}", "+experiment=mine"),
        ("attack", "--multi", "seed=0,1"),
    ],
    ids=" ".join,
)
def test_a_sweep_is_refused(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    (tmp_path / "own/experiment").mkdir(parents=True)
    mode = "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 0,1\n"
    (tmp_path / "own/experiment/mine.yaml").write_text(mode)
    words = tuple(word.format(own=tmp_path / "own") for word in words)
    for name, value in environment(0, 1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("nba_cli.ranks.run", lambda command, needed: command())
    monkeypatch.setitem(tasks.TASKS, words[0], lambda cfg: "")  # no job is to get this far
    code, text = nba(*words, dataset=False)
    assert code == 2 and text.count("\n") == 1
    assert text.startswith("nba: torchrun is for one run on several processes.")
    assert text.endswith("hydra/launcher=parallel, processes or slurm.\n") and not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_defense_is_measured_together_and_a_finished_run_lets_all_leave(tmp_path: Path, tiny_file: Path) -> None:
    words = ("defend", *BRIEF, "attack=inputaware", "attack.mask_epochs=1", "defense=ft", "defense.train.steps=4")
    done = torchrun(tmp_path, tiny_file, *words, "snapshots=true")
    assert done.returncode == 0, done.stdout + done.stderr
    (out,) = results(tmp_path, "defend")
    found = metrics(out)
    assert found["passes"]["backward"] == 4 * 72, "the defense is rank 0's alone, and all its passes are counted"
    again = torchrun(tmp_path, tiny_file, *words)
    assert again.returncode == 0 and again.stdout.count("already finished") == 1 and metrics(out) == found


@pytest.mark.slow
def test_a_loss_that_is_no_longer_finite_is_one_line(tmp_path: Path, tiny_file: Path) -> None:
    done = torchrun(tmp_path, tiny_file, "attack", *BRIEF, "train.lr=1e30")
    ours = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("nba: ")]
    assert done.returncode != 0 and len(ours) == 1 and "the loss is no longer finite" in ours[0]
    assert done.stderr.count("Traceback") == 1, "torchrun's own"
