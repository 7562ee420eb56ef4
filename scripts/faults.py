"""Kill a sweep ten times over at random moments, run the same command once more, and compare with an undisturbed one.

    python scripts/faults.py [SEED]

Each round kills, with SIGKILL, the parent and its workers, a worker alone, or the parent alone. The two tables (CSV, a
line for every figure of every run) have to be equal, and no half-written file may be left. Takes some minutes on 2
cores; prints a log, and exits with 1 when something differs. Needs nba-cli[sweep]; Linux.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NBA = [sys.executable, "-c", "from nba_cli.cli import main; main()"]
ROUNDS = 10


def data(file: Path) -> None:
    """Three classes, each a bright band at a height of its own."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 240), ("test", 90)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 120, (count, 16, 16, 3))
        for index, label in enumerate(labels):
            images[index, 1 + 4 * label : 4 + 4 * label] += 110
        arrays |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels.astype(np.uint8)}
    np.savez(file, **arrays)


def sweep(file: Path, out: Path) -> list[str]:
    settings = ["victim.depth=10", "train.epochs=12", "train.batch=40", "attack.rate=0.2", "dataset.clean_ratio=0.3"]
    swept = ["attack=badnets,blend", "defense=none,ft,clp", "seed=range(8)"]
    where = ["dataset=npz", f"dataset.path={file}", f"output={out}", "reference=false"]
    return [*NBA, "defend", "--multirun", "hydra/launcher=parallel", *where, *settings, *swept]


def table(out: Path) -> str:
    done = subprocess.run(
        [*NBA, "table", f"output={out}", "format=csv", "rows=defense,seed", "figures=acc,asr,ra,der"],
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


def workers(parent: int) -> list[int]:
    """All processes below `parent` that run jobs: joblib's tracker of resources does not."""
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


def strike(parent: int, mode: str, rng: random.Random) -> int:
    """SIGKILL whoever `mode` says; returns how many."""
    children = workers(parent)
    while mode == "worker" and not children and Path(f"/proc/{parent}/cmdline").read_bytes():  # b"": it has ended
        time.sleep(0.2)
        children = workers(parent)
    victims = {"all": [parent, *children], "worker": children and [rng.choice(children)], "parent": [parent]}[mode]
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return len(victims)


def state(out: Path) -> str:
    finished, begun = len(list(out.glob("*/*/metrics.json"))), len(list(out.glob("*/*/run.log")))
    return f"{finished} runs finished, {begun - finished} begun"


def main() -> None:
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    with tempfile.TemporaryDirectory() as folder:
        file, calm, struck = (Path(folder) / name for name in ("data.npz", "calm", "struck"))
        data(file)
        began = time.monotonic()
        subprocess.run(sweep(file, calm), check=True, stdout=subprocess.DEVNULL)
        took = time.monotonic() - began
        print(f"undisturbed: {took:.0f} s, {state(calm)}", flush=True)
        for number in range(1, ROUNDS + 1):
            mode = rng.choice(["all", "worker", "parent"])
            process = subprocess.Popen(sweep(file, struck), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            pause = rng.uniform(6, 6 + took / 6)
            try:
                process.wait(pause)
                count = 0
            except subprocess.TimeoutExpired:
                count = strike(process.pid, mode, rng)
                process.wait()
            print(f"kill {number:2} after {pause:4.1f} s: {mode}, {count} processes; parent exit {process.returncode}; "
                  f"{state(struck)}", flush=True)  # fmt: skip
        done = subprocess.run(sweep(file, struck), stdout=subprocess.DEVNULL)
        one, two = table(calm), table(struck)
        left = [str(path.relative_to(struck)) for path in struck.rglob("*.part")]
        print(f"then the same command: exit {done.returncode}; {state(struck)}")
        print(
            f"tables: {one.count(chr(10)) - 1} figures, {'equal' if one == two else 'DIFFERENT'}; half-written: {left}"
        )
        sys.exit(done.returncode or one != two or bool(left))


if __name__ == "__main__":
    main()
