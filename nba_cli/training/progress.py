"""The write-only channel out of a stage: what a training tells while it runs. Nothing comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Snapshot = Callable[[], dict[str, Tensor]]
"""Gives the weights as they are now: of the average if one is kept."""


@dataclass(frozen=True)
class Event:
    """A step that has been taken.

    Fields:
        phase: what is going on, such as "victim", "teacher" or "prune"
        step: steps done, from 1
        total: steps that there will be
        scalars: what was measured, by name; at the end of an epoch `epoch` and `seconds` are among them
        snapshot: at the end of an epoch, gives the weights
    """

    phase: str
    step: int
    total: int
    scalars: Mapping[str, float] | None = None
    snapshot: Snapshot | None = None


Progress = Callable[[Event], None]


def silent(event: Event) -> None:
    """Progress that goes nowhere."""
