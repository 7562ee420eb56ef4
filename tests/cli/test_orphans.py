"""Workers of a sweep end when its parent has been killed, which leaves it no time to tell them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import NBA

from nba_cli.cli import orphans

PARENT = """
import subprocess, sys, time
from pathlib import Path
from nba_cli.cli import orphans
if sys.argv[2:] != ["mute"]:
    orphans.hold(Path(sys.argv[1]))
between = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
subprocess.run([*between, sys.executable, "-c", sys.stdin.read(), sys.argv[1]])
"""
WORKER = """
import sys, time
from pathlib import Path
from nba_cli.cli import orphans
for _ in range(2):
    orphans.end_with_parent(Path(sys.argv[1]))
print("working", flush=True)
time.sleep(float(%s))
print("done", flush=True)
"""


def family(folder: Path, seconds: float, *words: str) -> subprocess.Popen:
    """A parent, a process between, and a worker that prints and sleeps."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin and parent.stdout
    parent.stdin.write(WORKER % seconds)
    parent.stdin.close()
    assert parent.stdout.readline() == "working\n"
    return parent


def test_a_worker_ends_with_its_parent_whatever_stands_between_them(tmp_path: Path) -> None:
    with family(tmp_path, 300) as parent:
        parent.kill()  # and not waited for: a zombie is gone as well
        assert parent.stdout and parent.stdout.read() == "", "the worker, which holds the other end, has ended"


def test_a_worker_whose_parent_lives_works_on(tmp_path: Path) -> None:
    with family(tmp_path, 0.5) as parent:
        (tmp_path / orphans.FILE).unlink()  # the folder of the runs has been removed
        assert parent.stdout and parent.stdout.read() == "done\n" and parent.wait() == 0


def test_without_a_parent_that_holds_the_file_nothing_is_waited_for(tmp_path: Path) -> None:
    with family(tmp_path, 0.1, "mute") as parent:
        assert parent.stdout and parent.stdout.read() == "done\n" and parent.wait() == 0


def test_where_there_are_no_locks_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(orphans.fcntl, "flock", without)
    orphans.hold(tmp_path)
    assert not (tmp_path / orphans.FILE).exists()


def children(parent: int) -> set[int]:
    """All processes below `parent`, by `ps`, which Linux and macOS have."""
    listed = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True).splitlines()
    pairs = [tuple(map(int, line.split())) for line in listed]
    own = {pid for pid, above in pairs if above == parent}
    return own.union(*(children(pid) for pid in own))


def alive(pids: set[int]) -> set[int]:
    listed = subprocess.check_output(["ps", "-A", "-o", "pid=,stat="], text=True).splitlines()
    return pids & {int(line.split()[0]) for line in listed if not line.split()[1].startswith("Z")}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["parallel", "processes"])
def test_a_killed_sweep_leaves_no_process(launcher: str, tmp_path: Path, tiny_file: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs '.[sweep]'")
    data = ["dataset=npz", f"dataset.path={tiny_file}", "reference=false", "victim.depth=10", "train.epochs=100000"]
    command = [*NBA, "attack", "-m", *data, "attack=none", "seed=0,1", f"hydra/launcher={launcher}"]
    sweep = subprocess.Popen([*command, f"output={tmp_path}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("attack/*/history.jsonl"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    below = children(sweep.pid)
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.wait()
    assert len(below) >= 2
    deadline = time.monotonic() + 10
    while alive(below) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(below)
