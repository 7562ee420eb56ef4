"""What a defense costs: time, passes through the network, memory."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nba_cli.victims import Network


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a defense: wall-clock seconds, images passed forward and backward, peak bytes."""

    seconds: float
    passes: dict[str, int]
    memory: dict[str, int]


class Meter:
    """Counts the images that pass through a network and all its later copies, forward and backward.

    A backward pass is counted where its gradient enters the logits; second derivatives count each time.
    """

    def __init__(self, model: Network) -> None:
        counts = self.counts = {"forward": 0, "backward": 0}

        # functions, not methods: a deep copy of the network keeps them, but would copy a method's object
        def backward(grad: Tensor) -> None:
            counts["backward"] += len(grad)

        def watch(logits: Tensor) -> None:
            counts["forward"] += len(logits)
            if logits.requires_grad:
                logits.register_hook(backward)

        model.watch = watch


def reset_peak(device: torch.device) -> None:
    """Start a new maximum of memory if the system permits it: CUDA, Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    if sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return  # the peak is then that of the whole process, which is what it is called


def peak(device: torch.device) -> dict[str, int]:
    """Largest memory in bytes: `process` (resident), and `device` on CUDA."""
    found = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)}
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        if "VmHWM" in lines:
            found["process"] = int(lines["VmHWM"].split()[0]) * 1024
    if device.type == "cuda":
        found["device"] = torch.cuda.max_memory_allocated(device)
    return found
