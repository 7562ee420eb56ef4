"""What a sweep costs beside its runs, and what a table of many finished runs costs. Needs '.[sweep]'."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from nba_cli.runs import sound
from scripts.bench.setting import NBA, noise_file

LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=parallel"],
    "submitit": ["hydra/launcher=processes", "hydra.sweeper.max_batch_size=2"],
}

ALONE = (
    "import json, resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); "
    "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(json.dumps([code, used.ru_utime + used.ru_stime, "
    "used.ru_maxrss / 1024]))"
)
"""Runs a command: exit code, CPU seconds, peak MB. From a small process, since a peak counts what the parent held."""


def sweep(launcher: str, jobs: int, folder: Path, device: str = "auto") -> float:
    """Seconds of a sweep of one training step on 60 images of 8x8 pixels: nothing but what surrounds a run.

    A second time in the same folder, all of its jobs are finished.
    """
    data = noise_file(folder / "data.npz", train=60, test=60, side=8)
    command = [*NBA, "attack", "--multirun", *LAUNCHERS[launcher], f"output={folder / launcher}", "dataset=npz",
               f"dataset.path={data}", "victim.depth=10", "attack=none", "train.epochs=null", "train.steps=1",
               f"device={device}", f"seed=range({jobs})"]  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command[3:])}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return took


def fill(runs: int, folder: Path, record: Path) -> None:
    """Copies of one real record in `folder`: 20 attacks x 10 defenses, the rest seeds."""
    found = json.loads(record.read_text())
    found |= {"stage": "defend", "der": 0.5}
    found["settings"] |= {"defense": {"kind": "ft"}, "defense_seed": 0}
    found["seconds"]["defense"] = 1.0
    rng = np.random.default_rng(0)
    for number in range(runs):
        found["settings"]["attack"]["kind"] = f"a{number % 20}"
        found["settings"]["defense"]["kind"] = f"d{number // 20 % 10}"
        found["settings"]["seed"] = number // 200
        found["figures"] |= dict(zip(("acc", "asr", "ra"), rng.random(3).tolist(), strict=True))
        out = folder / "defend" / f"run-{number}"
        out.mkdir(parents=True)
        (out / "metrics.json").write_text(json.dumps(sound.with_seal(found)))


def table(folder: Path, *where: str) -> dict[str, float]:
    """Seconds, CPU seconds and peak MB of `nba table` over all runs in `folder`."""
    command = [*NBA, "table", f"output={folder}", "against=d0", *where]
    began = time.monotonic()
    code, cpu, peak = json.loads(subprocess.check_output([sys.executable, "-c", ALONE, *command]))
    if code:
        raise SystemExit(f"nba table ended with exit code {code}")
    return {"seconds": time.monotonic() - began, "cpu": cpu, "peak": peak}


def cost(folder: Path, jobs: int, runs: int, device: str) -> dict[str, Any]:
    """Seconds a job with each launcher and of a job that has finished; a table of `runs` finished runs, twice."""
    shares = {"basic": 1.0, "joblib": 1.0, "submitit": 0.1}  # where each job is a process that imports torch
    counts = {name: max(1, round(share * jobs)) for name, share in shares.items()}
    each = {name: sweep(name, count, folder, device) / count for name, count in counts.items()}
    each["finished"] = sweep("basic", jobs, folder, device) / jobs  # what finished jobs cost, one launcher says
    fill(runs, folder / "many", next(folder.glob("basic/attack/*/metrics.json")))
    tables = {"table": table(folder / "many"), "table again": table(folder / "many")}
    page = table(folder / "many", f"file={folder / 'table.html'}")
    return {"jobs": counts, "each": each, "runs": runs, "tables": tables | {"page": page}}
