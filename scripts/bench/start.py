"""A short run of `nba attack` on a set of CIFAR-10's size: seconds to its first step, peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.setting import noise

NBA = "import sys; from nba_cli.cli.main import main; sys.exit(main())"


def short_run(victim: str) -> dict[str, Any]:
    """One step and the evaluation: seconds until that step is done, peak bytes, and those of importing torch alone."""
    with tempfile.TemporaryDirectory() as name:
        arrays = {}
        for part, data in {"train": noise(50_000), "test": noise(10_000)}.items():
            arrays |= {f"x_{part}": data.images.permute(0, 2, 3, 1).numpy(), f"y_{part}": data.labels.numpy()}
        np.savez(Path(name, "noise.npz"), **arrays)
        words = ["attack", "attack=badnets", f"victim={victim}", "dataset=npz", f"dataset.path={name}/noise.npz",
                 "train.epochs=null", "train.steps=1", "reference=false", f"output={name}/runs"]  # fmt: skip
        seconds, peak = until([sys.executable, "-c", NBA, *words], "step 1/1")
    return {"first_step": seconds, "peak": peak, "torch": until([sys.executable, "-c", "import torch, torchvision"])[1]}


def until(command: list[str], words: str | None = None) -> tuple[float, int]:
    """Seconds until the command prints a line with `words` (or ends, without any), and its peak bytes when it ends."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said, seconds = [], None
    for line in process.stdout:
        said.append(line)
        if words is not None and words in line and seconds is None:
            seconds = time.perf_counter() - began
    _, status, used = os.wait4(process.pid, 0)
    if status or (words is not None and seconds is None):
        raise SystemExit("".join(said))
    return seconds or time.perf_counter() - began, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
