"""Random streams. Every use of randomness has a name, so adding one never shifts another."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, purpose: str) -> int:
    """An independent 63-bit seed for `purpose` (such as "poison" or "augment") under the run's `seed`."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device`, seeded for `purpose`; the global random state is never touched."""
    return torch.Generator(device).manual_seed(derive(seed, purpose))
