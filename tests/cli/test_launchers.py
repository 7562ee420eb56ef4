"""Sweeps of several processes, and sweeps that are killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import NBA

TINY = ("victim.depth=10", "train.epochs=2", "train.batch=40", "dataset.clean_ratio=0.3", "dataset.crop=1")


@pytest.mark.parametrize("launcher", ["parallel", pytest.param("processes", marks=pytest.mark.slow)])
def test_parallel_launchers_train_a_victim_once_and_end_like_the_basic_one(
    launcher: str, tmp_path: Path, tiny_file: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs '.[sweep]'")
    data = ["dataset=npz", f"dataset.path={tiny_file}", "reference=false", *TINY, "attack.rate=0.2"]
    sweep = ["defend", "--multirun", *data, "defense=none,ft", "defense_seed=0,1"]

    def figures(root: Path) -> dict:
        return {path.parent.name: json.loads(path.read_text())["figures"] for path in root.glob("*/*/metrics.json")}

    outs = [tmp_path / "basic", tmp_path / launcher]
    extra = [["defense=none,ft"], [f"hydra/launcher={launcher}"]]
    for out, more in zip(outs, extra, strict=True):
        done = subprocess.run(
            [*NBA, *sweep, f"output={out}", *more], capture_output=True, text=True, env=None, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("finished  ") == 4 and "victim     step" not in done.stdout, "the parent tells, no job"
    assert figures(outs[0]).keys() == figures(outs[1]).keys() and len(list(outs[1].glob("attack/*"))) == 1
    logs = [path.read_text() for path in outs[1].glob("attack/*/run.log")]
    assert sum(log.count("nba attack") for log in logs) == 1, "one job trained it, the others waited"


def workers(parent: int) -> list[int]:
    """All processes below `parent` that run jobs: joblib's tracker of resources does not. Linux."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            tracks = b"resource_tracker" in (stat.parent / "cmdline").read_bytes()
        except OSError:  # gone in the meantime
            continue
        if int(fields[1]) == parent and not tracks:
            found += [int(stat.parent.name), *workers(int(stat.parent.name))]
    return found


def strike(process: subprocess.Popen, mode: str) -> dict[int, str]:
    """SIGKILL a sweep's parent and workers (all), one worker, or the parent; the workers left: pid -> start."""
    children = workers(process.pid)
    while mode == "worker" and not children and process.poll() is None:
        time.sleep(0.2)
        children = workers(process.pid)
    targets = {"all": [process.pid, *children], "worker": children[:1], "parent": [process.pid]}[mode]
    kill(targets)
    process.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in targets):  # their locks are free when they are gone
        time.sleep(0.1)
    return {pid: start for pid in children if (start := started(pid))}


def started(pid: int) -> str:
    """When a process started, in clock ticks since the machine did; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_killed_sweep_goes_on_and_ends_like_an_undisturbed_one(tmp_path: Path, tiny_file: Path) -> None:
    """Killed at random moments: all of it, a worker, or the parent. Then the same command does what is left."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs '.[sweep]'")
    data = ["dataset=npz", f"dataset.path={tiny_file}", "reference=false", *TINY, "attack.rate=0.2", "train.epochs=12"]
    swept = ["hydra/launcher=parallel", "attack=badnets,blend", "defense=none,ft", "seed=range(3)"]
    sweep = [*NBA, "defend", "--multirun", *data, *swept]
    calm, struck = tmp_path / "calm", tmp_path / "struck"
    subprocess.run([*sweep, f"output={calm}"], check=True, capture_output=True)
    chance, orphans = random.Random(0), dict[int, str]()
    for mode in chance.sample(["all", "worker", "parent"], 3):
        process = subprocess.Popen([*sweep, f"output={struck}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(6, 14))
        orphans |= strike(process, mode)
    done = subprocess.run([*sweep, f"output={struck}"], capture_output=True, text=True)
    kill([pid for pid, start in orphans.items() if started(pid) == start])  # else the number is another process
    assert done.returncode == 0, done.stdout + done.stderr
    words = ["format=csv", "rows=defense,seed", "figures=acc,asr,ra,der"]
    tables = [subprocess.check_output([*NBA, "table", f"output={out}", *words], text=True) for out in (calm, struck)]
    assert tables[0] == tables[1] and tables[0].count("\n") == 13, "a head and a line for each of the runs"
    assert not list(struck.glob("*/*/*.part"))
