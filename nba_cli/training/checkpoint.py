"""The state of an unfinished training, complete: continuing from it ends in the same weights, on a CPU."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from nba_cli import files
from nba_cli.errors import Refused
from nba_cli.ranks import Ranks

KEYS = {"generator", "host", "device", "ranks", "step", "seconds"}
DIGEST = hashlib.sha256().digest_size  # bytes before the content, because a flipped bit would only train on


def save(
    path: Path,
    state: dict[str, Any],
    generator: torch.Generator,
    device: torch.device,
    ranks: Ranks,
    step: int,
    seconds: float,
) -> None:
    """Write everything that `state` holds (objects with a state_dict), and the random streams, by rename."""
    payload = {name: part.state_dict() for name, part in state.items()}
    payload |= {"generator": generator.get_state(), "host": torch.get_rng_state()}
    if device.type == "cuda":
        payload["cuda"] = torch.cuda.get_rng_state(device)
    buffer = io.BytesIO()  # a full disk is an OSError only when it is Python that writes
    torch.save(payload | {"device": device.type, "ranks": ranks.size, "step": step, "seconds": seconds}, buffer)
    content = buffer.getvalue()
    files.write(path, hashlib.sha256(content).digest() + content)


def read(path: Path) -> dict[str, Any]:
    """What `save` wrote.

    Raises:
        Refused: the file is not as it was written.
    """
    content = path.read_bytes()
    digest, content = content[:DIGEST], content[DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        raise Refused(f"{path}: this checkpoint is damaged. Delete the file to start over.")
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler that meets nonsense raises whatever that happens to mean
        raise Refused(f"{path}: this is no checkpoint. Delete the file to start over.") from error
    if not isinstance(found, dict) or not found.keys() >= KEYS:
        raise Refused(f"{path}: this is no checkpoint of a training. Delete the file to start over.")
    return found


def restore(
    path: Path | None, state: dict[str, Any], generator: torch.Generator, device: torch.device, ranks: Ranks
) -> tuple[int, float]:
    """Load the checkpoint of rank 0 if there is one; returns the steps and the seconds done.

    Raises:
        Refused: it is damaged, or of another training, or was made by another number of ranks or on another kind of
            device, whose random streams cannot be continued here.
    """
    payload = ranks.broadcast(read(path) if path is not None and path.is_file() else None)
    if payload is None:
        return 0, 0.0
    if payload["device"] != device.type:
        raise Refused(
            f"{path}: this checkpoint was made on {payload['device']} and cannot be resumed on {device.type}. "
            f"Set device={payload['device']}, or delete the file to start over."
        )
    if payload["ranks"] != ranks.size:
        raise Refused(
            f"{path}: this checkpoint was made by {payload['ranks']} processes and cannot be resumed by {ranks.size}: "
            "batch norm would see other parts of the batches. Delete the file to start over."
        )
    try:
        for name, part in state.items():
            part.load_state_dict(payload[name])
    except (KeyError, ValueError, RuntimeError) as error:
        raise Refused(f"{path}: this checkpoint is of another training. Delete the file to start over.") from error
    generator.set_state(payload["generator"])
    torch.set_rng_state(payload["host"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(payload["cuda"], device)
    return payload["step"], payload["seconds"]
