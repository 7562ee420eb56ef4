"""Mean, spread, and the one rule for "better": a paired difference whose 95 % interval leaves out 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (None for one value) of `n` values."""

    n: int
    mean: float
    std: float | None


@dataclass(frozen=True)
class Difference:
    """Mean of `n` paired differences, with the 95 % interval of Student's t; no interval for one pair."""

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


def summary(values: Sequence[float]) -> Summary:
    """Of at least one value."""
    mean = math.fsum(values) / len(values)
    return Summary(len(values), mean, deviation(values, mean) if len(values) > 1 else None)


def deviation(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def paired(ours: dict, theirs: dict) -> Difference | None:
    """ours - theirs over the keys (seeds) that both have; None where they share none."""
    gaps = [ours[key] - theirs[key] for key in ours if key in theirs]
    if not gaps:
        return None
    mean = math.fsum(gaps) / len(gaps)
    if len(gaps) == 1:
        return Difference(1, mean)
    half = student(len(gaps) - 1) * deviation(gaps, mean) / math.sqrt(len(gaps))
    return Difference(len(gaps), mean, mean - half, mean + half)


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
