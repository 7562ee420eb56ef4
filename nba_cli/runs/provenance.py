"""Where a result comes from: what its reader asks first."""

from __future__ import annotations

import datetime
import platform
import subprocess
from pathlib import Path

import torch

import nba_cli
from nba_cli import devices


def provenance(device: torch.device) -> dict[str, str | int]:
    """What a result's reader asks first: when, on what, with which code.

    Of a CPU also its instructions, which round differently where its model's name is the same; of a GPU whether it
    computes in TF32.
    """
    found: dict[str, str | int] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "nba": nba_cli.__version__,
        "commit": commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": devices.processor(device),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cpu":
        found["instructions"] = devices.instructions()
    if device.type == "cuda":
        found["tf32"] = torch.backends.cuda.matmul.allow_tf32
    return found


def commit() -> str:
    """The checkout's commit, with "+" behind it when files were changed; "release" for an installed package."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return "release"
    git = ["git", "-C", str(here)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
