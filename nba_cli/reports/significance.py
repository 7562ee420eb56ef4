"""Mean, spread, and the one rule for "better": a paired difference whose 95 % interval leaves out 0.

The unit of every statistic is the victim. Defense seeds and clean sets repeat a measurement on one victim; they are
averaged within it first, because runs on one victim are not independent of one another.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (None for one victim) over `n` victims."""

    n: int
    mean: float
    std: float | None


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences over `n` victims, with the 95 % interval of Student's t; none for one victim."""

    n: int
    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies above or below 0; 0 is a tie, or not known."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def by_victim(values: Iterable[tuple[Hashable, float]]) -> dict[Hashable, float]:
    """(victim, value) of every run -> victim -> the mean of its runs."""
    found: dict[Hashable, list[float]] = {}
    for victim, value in values:
        found.setdefault(victim, []).append(value)
    return {victim: math.fsum(own) / len(own) for victim, own in found.items()}


def summary(values: Sequence[float]) -> Summary:
    """Mean and deviation of at least one value."""
    mean = math.fsum(values) / len(values)
    return Summary(len(values), mean, deviation(values, mean) if len(values) > 1 else None)


def deviation(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def paired(ours: Mapping[Any, float], theirs: Mapping[Any, float]) -> Difference | None:
    """ours - theirs over the victims that both have; None where they share none."""
    return averaged(list(differences(ours, theirs).values()))


def differences(ours: Mapping[Any, float], theirs: Mapping[Any, float]) -> dict[Any, float]:
    """Victim -> ours - theirs, of those that both have."""
    return {victim: ours[victim] - theirs[victim] for victim in ours if victim in theirs}


def averaged(gaps: Sequence[float]) -> Difference | None:
    """The mean of independent differences with its interval; None of none."""
    if not gaps:
        return None
    mean = math.fsum(gaps) / len(gaps)
    if len(gaps) == 1:
        return Difference(1, mean)
    return estimated(len(gaps), mean, deviation(gaps, mean) / math.sqrt(len(gaps)), len(gaps) - 1)


def estimated(n: int, mean: float, error: float, freedom: int) -> Difference:
    """A mean with its interval, from its standard error, which has so many degrees of freedom."""
    half = student(freedom) * error
    return Difference(n, mean, mean - half, mean + half)


@cache
def student(freedom: int, level: float = 0.95) -> float:
    """The t for which a Student variable of `freedom` degrees lies in [-t, t] with probability `level`."""
    low, high = 0.0, 1.0
    while within(high, freedom) < level:
        high *= 2
    for _ in range(80):  # halves the bracket to the last bit
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, freedom) < level else (low, middle)
    return high


def within(t: float, freedom: int) -> float:
    """P(|T| <= t), in closed form for whole degrees of freedom (Abramowitz & Stegun 26.7.3, 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    total, term = 0.0, 1.0 if freedom % 2 == 0 else math.cos(angle)
    for k in range(freedom // 2):
        total += term
        step = 2 * k + 1 if freedom % 2 == 0 else 2 * k + 2
        term *= square * step / (step + 1)
    return sine * total if freedom % 2 == 0 else 2 / math.pi * (angle + sine * total)
