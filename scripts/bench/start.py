"""A short run of `nba attack` on a set of CIFAR-10's size: seconds to its first step, peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts.bench.setting import NBA, Setting, noise_file

IMPORT = "import torch, torchvision; print()"


LAUNCHER = """
import json, resource, subprocess, sys, time
began, seconds = time.perf_counter(), None
child = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
for line in child.stdout:
    if sys.argv[1] in line and seconds is None:
        seconds = time.perf_counter() - began
    print(line, end="", file=sys.stderr)
code = child.wait()
print(json.dumps([code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""
"""A small process between: on Linux a child's peak begins at that of the process that starts it."""


def short_run(at: Setting) -> dict[str, Any]:
    """One step and the evaluation: seconds until that step is done, peak bytes, and those of importing torch alone."""
    with tempfile.TemporaryDirectory() as name:
        data = noise_file(Path(name, "noise.npz"), train=50_000, test=10_000)
        words = ["attack", "attack=badnets", f"victim={at.victim}", "dataset=npz", f"dataset.path={data}",
                 f"device={at.device}", f"precision={at.precision.value}", "train.epochs=null", "train.steps=1",
                 "reference=false", f"output={name}/runs"]  # fmt: skip
        seconds, peak = until("step 1/1", [*NBA, *words])
    return {"first_step": seconds, "peak": peak, "torch": until("", [sys.executable, "-c", IMPORT])[1]}


def until(words: str, command: list[str]) -> tuple[float, int]:
    """Seconds until the command prints a line with `words`, and its peak bytes when it has ended."""
    launched = subprocess.run(
        [sys.executable, "-c", LAUNCHER, words, *command], capture_output=True, text=True, check=True
    )
    code, seconds, peak = json.loads(launched.stdout)
    if code or seconds is None:
        raise SystemExit(launched.stderr)
    return seconds, peak * (1 if sys.platform == "darwin" else 1024)
