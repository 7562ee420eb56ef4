"""The state of an unfinished training, complete: continuing from it ends in the same weights."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from nba_cli import files
from nba_cli.errors import Refused
from nba_cli.ranks import Ranks


def save(
    path: Path, state: dict[str, Any], generator: torch.Generator, device: torch.device, step: int, seconds: float
) -> None:
    """Write everything that `state` holds (objects with a state_dict), and the random streams, by rename."""
    payload = {name: part.state_dict() for name, part in state.items()}
    payload |= {"generator": generator.get_state(), "host": torch.get_rng_state()}
    if device.type == "cuda":
        payload["cuda"] = torch.cuda.get_rng_state(device)
    buffer = io.BytesIO()  # a full disk is an OSError only when it is Python that writes
    torch.save(payload | {"device": device.type, "step": step, "seconds": seconds}, buffer)
    files.write(path, buffer.getvalue())


def restore(
    path: Path | None, state: dict[str, Any], generator: torch.Generator, device: torch.device, ranks: Ranks
) -> tuple[int, float]:
    """Load the checkpoint of rank 0 if there is one; returns the steps and the seconds done.

    Raises:
        Refused: it was made on another kind of device, whose random streams cannot be continued here.
    """
    found = path if path is not None and path.is_file() else None
    payload = ranks.broadcast(found and torch.load(found, map_location="cpu", weights_only=True))
    if payload is None:
        return 0, 0.0
    if payload["device"] != device.type:
        raise Refused(
            f"{path}: this checkpoint was made on {payload['device']} and cannot be resumed on {device.type}. "
            f"Set device={payload['device']}, or overwrite=true to start over."
        )
    for name, part in state.items():
        part.load_state_dict(payload[name])
    generator.set_state(payload["generator"])
    torch.set_rng_state(payload["host"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(payload["cuda"], device)
    return payload["step"], payload["seconds"]
