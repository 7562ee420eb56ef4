"""The goals that were set for NBA before its table was made, each with its number, from run folders.

python -m scripts.goals FOLDER FILE

A victim, that is an attack with a seed, is the unit. A difference is that of two figures of the same victim, its
interval Student's with 95 %. What is judged is the mean over all victims of the plan; until they are all there a goal
is open.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nba_cli.errors import Refused
from nba_cli.reports.composition import origin
from nba_cli.reports.mixtures import mixed
from nba_cli.reports.rows import in_units
from nba_cli.reports.significance import Difference, by_victim, deviation, paired
from nba_cli.runs import reading
from nba_cli.runs.presets import called, deviations, preset, presets
from nba_cli.runs.record import Record

SIX = ("badnets", "trojan", "blend", "cl", "sig", "refool")
SEEDS = (1, 2, 3)
FIVE = ("ft", "fp", "mcr", "nad", "anp")
OTHERS = ("argd", "ibau", "ftsam", "sau", "clp")
CONTROLS = ("nba without_pseudo", "ft_kd", "ft_nba")
"""NBA without pseudo samples; the suspect's own answers alone; the fine-tuning alone."""

Values = Mapping[Any, float]
"""(attack, seed), with the machine where seconds are compared -> a figure."""


@dataclass(frozen=True)
class Goal:
    """What is compared and what was wanted of it, the number that came out, and over how many victims.

    Fields:
        met: None where it is open
    """

    wanted: str
    number: str = "not measured"
    n: int = 0
    met: bool | None = None

    def line(self) -> str:
        verdict = "open" if self.met is None else "yes" if self.met else "**no**"
        return f"| {self.wanted} | {self.number} | {self.n} | {verdict} |"


class Measured:
    """Figures by defense, as "ft" or "ft selected", and by victim, in the units of tables.

    Only runs of today's versions count, with the settings of their defaults or of a preset.

    Raises:
        Refused: they differ in more than attack, defense and seeds, so that they belong to several tables.
    """

    def __init__(self, records: Iterable[Record], attacks: Sequence[str]) -> None:
        cleaned = [each for each in records if each.get("stage") == "defend" and each.get("attack") in attacks]
        self.records = [each for each in cleaned if preset(each, "defense") or deviations(each, "defense") == {}]
        self.planned = len(attacks) * len(SEEDS)
        others = {name for name in mixed(self.records, ["attack", "defense"], []) if not name.startswith("defense.")}
        if others:
            raise Refused(f"{', '.join(sorted(others))} differ among the runs: give a folder of runs that do not.")

    def of(self, defense: str, figure: str) -> Values:
        """A figure of every victim; seconds of every victim on a machine."""
        return by_victim(
            (self.unit(record, figure), number)
            for record in self.records
            if called(record, "defense") == defense
            and (number := in_units(figure.rpartition(".")[2], record.figure(figure))) is not None
        )

    def unit(self, record: Record, figure: str) -> tuple:
        machine = [record.origin[name] for name in ("processor", "threads")] if figure == "seconds" else []
        return (record.get("attack"), record.get("seed"), *machine)


def forms(defense: str) -> list[str]:
    """A baseline as by default and, if six settings were tried, as selected: the goal is to be better than both."""
    return [defense, *([f"{defense} selected"] if "selected" in presets("defense", defense) else [])]


def judged(gap: Difference | None, wanted: str, planned: int, *, will_do: bool) -> Goal:
    """A goal about the mean of a difference."""
    if gap is None:
        return Goal(wanted)
    interval = "" if gap.low is None else f" ({gap.low:+.2f} to {gap.high:+.2f})"
    return Goal(wanted, f"{gap.mean:+.2f}{interval}", gap.n, will_do if gap.n == planned else None)


def at_most(limit: float, wanted: str, ours: Values, theirs: Values, planned: int) -> Goal:
    """The mean of ours - theirs is at most `limit`."""
    gap = paired(ours, theirs)
    return judged(gap, f"{wanted}: at most {limit:g}", planned, will_do=gap is not None and gap.mean <= limit)


def above(measured: Measured, figure: str, defense: str, *, surely: bool) -> Goal:
    """NBA's mean lies above that of a defense, `surely` with an interval that does."""
    gap = paired(measured.of("nba", figure), measured.of(defense, figure))
    how = "above 0, and so is the interval" if surely else "above 0"
    will_do = gap is not None and (gap.sign > 0 if surely else gap.mean > 0)
    return judged(gap, f"{figure.upper()} - that of `{defense}`: {how}", measured.planned, will_do=will_do)


def above_all(measured: Measured, defenses: Sequence[str], *, surely: bool) -> list[Goal]:
    """A goal for DER and one for RA, for every one of them."""
    return [above(measured, figure, each, surely=surely) for figure in ("der", "ra") for each in defenses]


def worst(limit: float, wanted: str, ours: Values, theirs: Values, planned: int) -> Goal:
    """No ours - theirs is above `limit`. One that is decides, whatever is still missing."""
    gaps = {victim: ours[victim] - theirs[victim] for victim in ours if victim in theirs}
    wanted = f"{wanted}: at most {limit:g}"
    if not gaps:
        return Goal(wanted)
    attack, seed = victim = max(gaps, key=lambda each: gaps[each])
    met = False if gaps[victim] > limit else True if len(gaps) == planned else None
    return Goal(wanted, f"{gaps[victim]:+.2f}, {attack}, seed {seed}", len(gaps), met)


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
    return Goal(wanted, number, len(values), pooled < limit if len(values) == planned else None)


def goals(records: Sequence[Record]) -> list[Goal]:
    """All of them, in the order in which they were set."""
    six, clean = Measured(records, SIX), Measured(records, ("none",))
    acc, asr, ra, floor, reference, seconds = (
        six.of("nba", each) for each in ("acc", "asr", "ra", "floor", "reference", "seconds")
    )
    return [
        at_most(1, "ASR - the clean victim's under the same trigger", asr, floor, six.planned),
        worst(3, "the same, of the worst victim", asr, floor, six.planned),
        at_most(1, "ACC of the victim - what is left of it", *losses(six)),
        at_most(1, "the same of clean models", *losses(clean)),
        at_most(3, "the clean victim's RA under the same trigger - RA", reference, ra, six.planned),
        *above_all(six, [form for each in FIVE for form in forms(each)], surely=True),
        *above_all(six, OTHERS, surely=False),
        *above_all(six, CONTROLS, surely=False),
        spread(1, "ACC, standard deviation over seeds, pooled over attacks", acc, six.planned),
        spread(2, "ASR, standard deviation over seeds, pooled over attacks", asr, six.planned),
        at_most(0, "seconds - those of `anp` on the same machine", seconds, six.of("anp", "seconds"), six.planned),
    ]


def losses(measured: Measured) -> tuple[Values, Values, int]:
    return measured.of("nba", "before.acc"), measured.of("nba", "acc"), measured.planned


def page(records: Sequence[Record], folder: Path, file: Path) -> str:
    """A Markdown table of the goals, and over how many victims they are."""
    used = Measured(records, SIX).records + Measured(records, ("none",)).records
    return "\n".join(
        [
            "# NBA's goals, each with its number",
            "",
            f"    python -m scripts.goals {folder} {file}",
            "",
            *([origin(used), ""] if used else []),
            "Figures of `nba` and differences from them, on the mean over victims, in percentage points but for",
            "seconds; in brackets the 95 % interval.",
            f"n: victims so far, of {len(SIX) * len(SEEDS)} ({', '.join(SIX)}; seeds {', '.join(map(str, SEEDS))}),",
            f"of {len(SEEDS)} clean models. Until all are there a goal is open.",
            "",
            "| wanted | number | n | met |",
            "| --- | --- | ---: | --- |",
            *(goal.line() for goal in goals(records)),
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    if not given.folder.is_dir():
        parser.error(f"{given.folder}: no such folder. Give the folder that holds the runs.")
    try:
        text = page(reading.read_all(given.folder), given.folder, given.file)
    except Refused as refused:
        parser.error(str(refused))
    given.file.write_text(text, encoding="utf-8")
