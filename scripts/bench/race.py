"""Entrants that take turns, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Entrant = Callable[[], Iterator[int]]
"""Starts over, and then yields how many images it has dealt with since the last time, for ever."""


@dataclass(frozen=True)
class Speed:
    """Images per second, one number a round."""

    rates: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rates)

    def over(self, other: Speed) -> float:
        """The median of the ratios round by round: rounds lie close together in time."""
        return statistics.median(own / its for own, its in zip(self.rates, other.rates, strict=True))

    def plain(self) -> dict[str, Any]:
        return {"median": self.median, "low": min(self.rates), "high": max(self.rates), "rounds": self.rates}


def race(entrants: Mapping[str, Entrant], rounds: int, seconds: float, device: torch.device) -> dict[str, Speed]:
    """Each entrant in turn for at least `seconds` a turn, `rounds` times.

    What an entrant does until it first yields is not timed: its workers start, its kernels are chosen.
    """
    rates: dict[str, list[float]] = {name: [] for name in entrants}
    for number in range(rounds):
        turns = list(entrants)
        for name in turns if number % 2 == 0 else reversed(turns):  # else one would always follow the same other
            running = entrants[name]()
            next(running)
            rates[name].append(rate(running, seconds, device))
    return {name: Speed(found) for name, found in rates.items()}


def rate(running: Iterator[int], seconds: float, device: torch.device) -> float:
    """Images per second over at least `seconds`."""
    wait(device)
    began, images = time.perf_counter(), 0
    while True:
        images += next(running)
        wait(device)
        if (took := time.perf_counter() - began) >= seconds:
            return images / took


def wait(device: torch.device) -> None:
    """Until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
