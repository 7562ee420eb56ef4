"""What a sweep costs beside its runs: 200 trivial jobs with each launcher, and a table of 10,000 finished runs.

    python scripts/sweep_cost.py [JOBS] [RUNS]

Needs nba-cli[sweep].
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from builders import tiny_arrays

NBA = [sys.executable, "-c", "from nba_cli.cli.main import main; main()"]
LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=parallel"],
    "submitit": ["hydra/launcher=processes", "hydra.sweeper.max_batch_size=2"],
}
TIMED = [("basic", "first"), ("basic", "again"), ("joblib", "first"), ("submitit", "first")]
"""What finished jobs cost, one launcher says."""

ALONE = (
    "import json, resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); "
    "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(json.dumps([code, used.ru_utime + used.ru_stime, "
    "used.ru_maxrss / 1024]))"
)
"""Runs a command: exit code, CPU seconds, peak MB. From a small process, since a peak counts what the parent held."""


def launch(jobs: int, folder: Path) -> None:
    """One training step on 60 images of 8x8 pixels: nothing but what surrounds a run."""
    np.savez(folder / "data.npz", **tiny_arrays(train=60, test=60, side=8))  # type: ignore[arg-type]
    for name, what in TIMED:
        words = LAUNCHERS[name]
        command = [*NBA, "attack", "--multirun", *words, f"output={folder / name}", "dataset=npz", "victim.depth=10",
                   f"dataset.path={folder / 'data.npz'}", "attack=none", "train.epochs=null", "train.steps=1",
                   f"seed=range({jobs})"]  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        took = time.monotonic() - began
        count = len(list(folder.glob(f"{name}/attack/*/metrics.json")))
        print(f"{name:<9} {what}: {jobs} jobs in {took:6.1f} s, {1000 * took / jobs:5.0f} ms each; "
              f"exit {done.returncode}, {count} finished", flush=True)  # fmt: skip


def tabulate(runs: int, folder: Path) -> None:
    """`nba table` over copies of one real record: 20 attacks x 10 defenses, the rest seeds."""
    record = next(folder.glob("basic/attack/*/metrics.json"))
    found = json.loads(record.read_text())
    found |= {"stage": "defend", "der": 0.5}
    found["settings"] |= {"defense": {"kind": "ft"}, "defense_seed": 0}
    found["seconds"]["defense"] = 1.0
    rng = np.random.default_rng(0)
    for number in range(runs):
        found["settings"]["attack"]["kind"], found["settings"]["defense"]["kind"] = (
            f"a{number % 20}",
            f"d{number // 20 % 10}",
        )
        found["settings"]["seed"] = number // 200
        found["figures"] |= dict(zip(("acc", "asr", "ra"), rng.random(3).tolist(), strict=True))
        out = folder / "many" / "defend" / f"run-{number}"
        out.mkdir(parents=True)
        (out / "metrics.json").write_text(json.dumps(found))
    for form in ("terminal", "html"):
        where = [] if form == "terminal" else [f"file={folder / 'table.html'}"]
        command = [*NBA, "table", f"output={folder / 'many'}", "against=d0", *where]
        began = time.monotonic()
        code, cpu, peak = json.loads(subprocess.check_output([sys.executable, "-c", ALONE, *command]))
        took = time.monotonic() - began
        print(f"nba table, {form}: {runs} runs in {took:.1f} s, {cpu:.1f} s of CPU, peak {peak:.0f} MB; exit {code}")


def main() -> None:
    jobs, runs = (int(word) for word in [*sys.argv[1:], *("200", "10000")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as name:
        launch(jobs, Path(name))
        tabulate(runs, Path(name))


if __name__ == "__main__":
    main()
