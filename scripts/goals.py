"""The goals that were set for NBA before its table was made, each with its number, from run folders.

python -m scripts.goals FOLDER FILE

All are about CIFAR-10 with WRN-16-1 and 5 % clean images. A victim (an attack with a seed) is the unit; a difference is
that of two figures on the same victim, its interval Student's with 95 %. Every baseline is there as by default and as
selected; the goal is reached where NBA is better than both.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nba_cli.reports.composition import origin
from nba_cli.reports.rows import in_units
from nba_cli.reports.significance import Difference, by_victim, deviation, paired
from nba_cli.runs import reading
from nba_cli.runs.presets import called, deviations, preset
from nba_cli.runs.record import Record

SIX = ("badnets", "trojan", "blend", "cl", "sig", "refool")
FIVE = ("ft", "fp", "mcr", "nad", "anp")
OTHERS = ("argd", "ibau", "ftsam", "sau", "clp")
CONTROLS = ("nba without_pseudo", "ft_kd", "ft_nba")
"""What of nba's schedule and distillation does without pseudo samples, or without both."""

FIGURES = ("acc", "asr", "ra", "der", "floor", "reference", "seconds")

Values = Mapping[Any, float]
"""(attack, seed) -> a figure."""


@dataclass(frozen=True)
class Goal:
    """What was wanted, the number that came out, and whether it will do; None: not measured."""

    wanted: str
    number: str = "not measured"
    met: bool | None = None

    def line(self) -> str:
        return f"| {self.wanted} | {self.number} | {'' if self.met is None else 'yes' if self.met else '**no**'} |"


class Measured:
    """Figures by defense, as "ft" or "ft selected", and by victim, in the units of tables.

    A run with other settings than its defaults and those of a preset is a trial, and left out.
    """

    def __init__(self, records: Iterable[Record], attacks: Sequence[str]) -> None:
        cleaned = [each for each in records if each.get("stage") == "defend" and each.get("attack") in attacks]
        runs = [each for each in cleaned if preset(each, "defense") or not deviations(each, "defense")]
        named = [(called(each, "defense"), (str(each.get("attack")), each.get("seed")), each) for each in runs]
        self.found = {
            (defense, figure): by_victim(
                (victim, number)
                for own, victim, record in named
                if own == defense and (number := in_units(figure, record.figure(figure))) is not None
            )
            for defense in {defense for defense, _, _ in named}
            for figure in FIGURES
        }

    def of(self, defense: str, figure: str) -> Values:
        return self.found.get((defense, figure), {})

    def forms(self, defense: str) -> list[str]:
        """A baseline as by default and as selected, as far as there are runs; else the name alone."""
        there = sorted({name for name, _ in self.found if name.partition(" ")[0] == defense})
        return there or [defense]


def at_most(wanted: str, ours: Values, theirs: Values, limit: float) -> Goal:
    """The mean of ours - theirs is at most `limit`."""
    gap = paired(ours, theirs)
    return Goal(wanted) if gap is None else Goal(wanted, written(gap), gap.mean <= limit)


def above(measured: Measured, figure: str, defense: str, *, surely: bool) -> Goal:
    """NBA's mean lies above that of a defense, `surely` with an interval that excludes 0."""
    gap = paired(measured.of("nba", figure), measured.of(defense, figure))
    wanted = f"{figure.upper()} above that of `{defense}`" + (
        ", the interval excludes 0" if surely else ", on the mean"
    )
    return Goal(wanted) if gap is None else Goal(wanted, written(gap), gap.sign > 0 if surely else gap.mean > 0)


def above_all(measured: Measured, defenses: Sequence[str], *, surely: bool) -> list[Goal]:
    """A goal for DER and one for RA, for every form of every defense."""
    forms = [form for each in defenses for form in measured.forms(each)]
    return [above(measured, figure, form, surely=surely) for figure in ("der", "ra") for form in forms]


def written(gap: Difference) -> str:
    interval = "" if gap.low is None else f" ({gap.low:+.2f} to {gap.high:+.2f})"
    return f"{gap.mean:+.2f}{interval}, n = {gap.n}"


def worst(wanted: str, ours: Values, theirs: Values, limit: float) -> Goal:
    gaps = {victim: ours[victim] - theirs[victim] for victim in ours if victim in theirs}
    if not gaps:
        return Goal(wanted)
    attack, seed = victim = max(gaps, key=lambda each: gaps[each])
    return Goal(wanted, f"{gaps[victim]:+.2f}: {attack}, seed {seed}", gaps[victim] <= limit)


def spread(wanted: str, values: Values, limit: float) -> Goal:
    """The deviation over seeds, attack by attack: its mean is below the limit. Attacks of one seed have none."""
    found = {}
    for attack in dict.fromkeys(attack for attack, _ in values):
        own = [value for (other, _), value in values.items() if other == attack]
        if len(own) > 1:
            found[attack] = deviation(own, statistics.fmean(own))
    if not found:
        return Goal(wanted)
    mean, largest = statistics.fmean(found.values()), max(found, key=lambda attack: found[attack])
    return Goal(wanted, f"{mean:.2f}; largest {found[largest]:.2f}: {largest}", mean < limit)


def goals(records: Sequence[Record]) -> list[Goal]:
    """All of them, in the order in which they were set."""
    six, clean = Measured(records, SIX), Measured(records, ("none",))
    asr, floor = six.of("nba", "asr"), six.of("nba", "floor")
    return [
        at_most("ASR at most the clean victim's under the same trigger + 1", asr, floor, 1),
        worst("the same for every victim, + 3", asr, floor, 3),
        at_most("ACC loss at most 1", six.of("none", "acc"), six.of("nba", "acc"), 1),
        at_most("ACC loss of clean models at most 1", clean.of("none", "acc"), clean.of("nba", "acc"), 1),
        at_most(
            "RA at most 3 below the clean victim's under the same trigger",
            six.of("nba", "reference"),
            six.of("nba", "ra"),
            3,
        ),
        *above_all(six, FIVE, surely=True),
        *above_all(six, OTHERS, surely=False),
        *above_all(six, CONTROLS, surely=False),
        spread("standard deviation of ACC over seeds below 1, mean over attacks", six.of("nba", "acc"), 1),
        spread("standard deviation of ASR over seeds below 2, mean over attacks", asr, 2),
        at_most("seconds at most those of `anp`", six.of("nba", "seconds"), six.of("anp", "seconds"), 0),
    ]


def page(records: Sequence[Record], folder: Path, file: Path) -> str:
    """A Markdown table of the goals, and over how many victims they are."""
    victims = Measured(records, SIX).of("nba", "acc")
    measured = [each for each in records if each.get("stage") == "defend"]
    counts = {attack: sum(other == attack for other, _ in victims) for attack in SIX}
    over = ", ".join(f"{attack} {count}" for attack, count in counts.items())
    return "\n".join(
        [
            "# NBA's goals, each with its number",
            "",
            f"    python -m scripts.goals {folder} {file}",
            "",
            *([origin(measured), ""] if measured else []),
            f"Victims that NBA has cleaned so far: {over}.",
            "Percent and percentage points; in brackets the 95 % interval of the mean.",
            "",
            "| wanted, as the mean over the victims of six attacks | number | met |",
            "| --- | --- | --- |",
            *(goal.line() for goal in goals(records)),
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    given.file.write_text(page(reading.read_all(given.folder), given.folder, given.file), encoding="utf-8")
