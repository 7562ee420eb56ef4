"""Goals, and when they are met: what was wanted, the number that came out, and over how many victims.

A victim, that is an attack with a seed, is the unit. A difference is that of two figures of the same victim, its
interval Student's with 95 %. What is judged is the mean over all victims of the plan; until they are all there a goal
is open. Victims of one attack are alike, so two more intervals stand beside that one: for other attacks, and for other
seeds of these. One more is over the victims of other attacks than those on which NBA's form and the selected settings
were chosen.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nba_cli.reports.significance import Difference, averaged, by_victim, deviation, differences, estimated

Values = Mapping[Any, float]
"""(attack, seed), with the machine where seconds are compared -> a figure."""

CHOSEN_ON = ("blend", "sig")
"""The attacks of the development victims, on which NBA's form and the selected settings were chosen."""


@dataclass(frozen=True)
class Goal:
    """What is compared and what was wanted of it, the number that came out, and over how many victims.

    Fields:
        other_attacks: the interval with the mean over the seeds of an attack as one observation
        same_attacks: the interval for other seeds of these attacks
        unseen: the number and its interval without the attacks on which settings were chosen
        met: None where it is open
        unsure: whether the interval says otherwise, too
    """

    wanted: str
    number: str = "not measured"
    n: int = 0
    other_attacks: str = ""
    same_attacks: str = ""
    unseen: str = ""
    met: bool | None = None
    unsure: bool = False

    def line(self) -> str:
        verdict = "open" if self.met is None else "yes" if self.met else "**no**"
        verdict += ", but the interval includes 0" if self.met and self.unsure else ""
        cells = (self.wanted, self.number, self.n, self.other_attacks, self.same_attacks, self.unseen, verdict)
        return f"| {' | '.join(map(str, cells))} |"


Says = Callable[[Difference], bool]


def judged(ours: Values, theirs: Values, wanted: str, planned: int, met: Says, unsure: Says = lambda _: False) -> Goal:
    """A goal about the mean of ours - theirs over victims."""
    gaps = of_victims(ours, theirs)
    gap = averaged(list(gaps.values()))
    if gap is None:
        return Goal(wanted)
    others = [own for victim, own in gaps.items() if victim[0] not in CHOSEN_ON]
    unseen = averaged(others) if len(others) < len(gaps) else None
    beside = (interval(between_attacks(gaps)), interval(within_attacks(gaps)), shown(unseen))
    return Goal(wanted, shown(gap), gap.n, *beside, met(gap) if gap.n == planned else None, unsure(gap))


def shown(gap: Difference | None) -> str:
    """A mean and its interval."""
    return "" if gap is None else f"{gap.mean:+.2f}{interval(gap, ' (', ')')}"


def of_victims(ours: Values, theirs: Values) -> dict[Any, float]:
    """(attack, seed) -> ours - theirs, of those that both have; seconds on several machines become their mean."""
    return by_victim((place[:2], gap) for place, gap in differences(ours, theirs).items())


def between_attacks(gaps: Values) -> Difference | None:
    """The differences with the attack as unit: its seeds are averaged first."""
    return averaged(list(by_victim((victim[0], gap) for victim, gap in gaps.items()).values()))


def within_attacks(gaps: Values) -> Difference | None:
    """The differences for these attacks: only seeds vary, those of each attack about a mean of its own.

    None of one attack, or where attacks have one seed or unequal numbers of them.
    """
    strata: dict[Any, list[float]] = {}
    for victim, gap in gaps.items():
        strata.setdefault(victim[0], []).append(gap)
    sizes = {len(own) for own in strata.values()}
    if len(strata) < 2 or len(sizes) > 1 or sizes == {1}:
        return None
    (size,), means = sizes, [statistics.fmean(own) for own in strata.values()]
    variances = [deviation(own, mean) ** 2 for own, mean in zip(strata.values(), means, strict=True)]
    mean, error = statistics.fmean(means), math.sqrt(statistics.fmean(variances) / (size * len(strata)))
    return estimated(size * len(strata), mean, error, len(strata) * (size - 1))


def interval(gap: Difference | None, before: str = "", after: str = "") -> str:
    return "" if gap is None or gap.low is None else f"{before}{gap.low:+.2f} to {gap.high:+.2f}{after}"


def at_most(limit: float, wanted: str, ours: Values, theirs: Values, planned: int) -> Goal:
    """The mean of ours - theirs is at most `limit`."""
    return judged(ours, theirs, f"{wanted}: at most {limit:g}", planned, lambda gap: gap.mean <= limit)


def above(wanted: str, ours: Values, theirs: Values, planned: int, *, surely: bool) -> Goal:
    """The mean of ours - theirs is above 0, `surely` with an interval that is."""
    how = "above 0, and so is the interval" if surely else "above 0"
    met = (lambda gap: gap.sign > 0) if surely else (lambda gap: gap.mean > 0)
    return judged(ours, theirs, f"{wanted}: {how}", planned, met, unsure=lambda gap: not gap.sign)


def worst(limit: float, wanted: str, ours: Values, theirs: Values, planned: int) -> Goal:
    """No ours - theirs is above `limit`. One that is decides, whatever is still missing."""
    gaps = differences(ours, theirs)
    wanted = f"{wanted}: at most {limit:g}"
    if not gaps:
        return Goal(wanted)
    attack, seed = victim = max(gaps, key=lambda each: gaps[each])
    met = False if gaps[victim] > limit else True if len(gaps) == planned else None
    return Goal(wanted, f"{gaps[victim]:+.2f}, {attack}, seed {seed}", len(gaps), met=met)


def spread(limit: float, wanted: str, values: Values, planned: int) -> Goal:
    """The standard deviation over seeds, pooled over attacks, is below `limit`. Attacks of one seed have none."""
    found = {}
    for attack in dict.fromkeys(attack for attack, _ in values):
        own = [value for (other, _), value in values.items() if other == attack]
        if len(own) > 1:
            found[attack] = deviation(own, statistics.fmean(own))
    wanted = f"{wanted}: below {limit:g}"
    if not found:
        return Goal(wanted)
    pooled = math.sqrt(statistics.fmean(each**2 for each in found.values()))
    largest = max(found, key=lambda attack: found[attack])
    number = f"{pooled:.2f}, largest {found[largest]:.2f} ({largest})"
    return Goal(wanted, number, len(values), met=pooled < limit if len(values) == planned else None)
