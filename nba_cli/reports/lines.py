"""The lines of a sweep: which runs stand where, and what others published beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nba_cli.errors import Refused
from nba_cli.reports import published
from nba_cli.reports.pivot import Shape, ordered
from nba_cli.reports.published import Published
from nba_cli.reports.rows import in_units
from nba_cli.reports.significance import Summary, by_victim, summary
from nba_cli.runs.declared import declared
from nba_cli.runs.presets import value_of, words_of
from nba_cli.runs.record import Record, to_text

COMPARABLE = ("attack", "defense", "dataset", "attack.rate")  # what published figures say of themselves
SLOT = 0.8  # of the room of a word, which its lines share


@dataclass(frozen=True)
class Axis:
    """The values of the setting in order: numbers where all are numbers, else words at 0, 1, …"""

    name: str
    values: Sequence[Any]
    numeric: bool

    def place(self, value: Any, slot: float) -> float:
        """Where a value stands: a number where it is; a word shares its room, `slot` in [-0.5,0.5], among the lines."""
        return value if self.numeric else self.values.index(value) + SLOT * slot


@dataclass(frozen=True)
class Other:
    """Somebody else's figures: where they stand, whose they are, and they."""

    place: float
    source: str
    row: Published


@dataclass(frozen=True)
class Line:
    """Fields:
    label: the value of the setting that tells lines apart
    number: numbers its colour and mark
    runs: place on the axis -> its runs
    beside: what others published for it
    """

    label: str
    number: int
    runs: dict[float, list[Record]]
    beside: list[Other]

    def summaries(self, figure: str) -> dict[float, Summary]:
        """Place -> mean and spread over victims; shares in percent."""
        found = {}
        for place, runs in self.runs.items():
            measured = ((run.victim_seed, in_units(figure, run.figure(figure))) for run in runs)
            values = [(seed, value) for seed, value in measured if value is not None]
            if values:
                found[place] = summary(list(by_victim(values).values()))
        return found


def axis_of(having: Sequence[Record], x: str) -> Axis:
    values = [value_of(run, x) for run in having]
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return Axis(x, sorted(set(values)), numeric=True)
    return Axis(x, in_order(having, x), numeric=False)


def in_order(having: Sequence[Record], name: str) -> list[str]:
    """The values of a setting in words, in the order of a table."""
    values = sorted({words_of(run, name) for run in having})  # a preset follows its kind
    order = [value for kind in declared().parts.get(name, {}) for value in values if value.split(" ")[0] == kind]
    shape = Shape(rows=[name], cols=[], figures=[], order={name: order})
    return [word for (word,) in ordered([(value,) for value in values], [name], shape)]


def lines_of(having: Sequence[Record], axis: Axis, split: str, compare: str | None) -> list[Line]:
    """The lines, in the order in which their runs come, and what was published beside each place.

    Raises:
        Refused: published figures cannot be read, or do not say what the axis is for them.
    """
    if compare and axis.name not in COMPARABLE:
        raise Refused(f"compare={compare}: published figures say no {axis.name}. Choose x={', '.join(COMPARABLE)}.")
    rows = published.read(compare) if compare else []
    labels = in_order(having, split)
    cells: dict[tuple[str, str], list[Record]] = {}
    for run in having:
        cells.setdefault((words_of(run, split), words_of(run, axis.name)), []).append(run)
    lines = []
    for number, label in enumerate(labels):
        runs: dict[float, list[Record]] = {}
        beside: dict[tuple[float, str], Other] = {}
        for value in axis.values:
            place = axis.place(value, (number + 0.5) / len(labels) - 0.5)
            if here := cells.get((label, to_text(value))):
                runs[place] = here
                theirs = others(published.beside(rows, here), axis, place)
                beside |= {(other.place, other.source): other for other in theirs}
        lines.append(Line(label, number, runs, list(beside.values())))
    if compare:
        published.warn_if_none(compare, [other.row for line in lines for other in line.beside])
    return lines


def others(rows: Sequence[Published], axis: Axis, place: float) -> list[Other]:
    """What was published, at the place of ours; over the poison rate, the only number that they know, at its own."""
    if axis.numeric:
        return [Other(row.rate, row.origin, row) for row in rows if row.rate is not None]
    return [Other(place, row.label, row) for row in rows]


def of_victims(lines: Sequence[Line], figures: Sequence[str]) -> str:
    """What the marks of these lines are, in words."""
    numbers = {each.n for line in lines for figure in figures for each in line.summaries(figure).values()}
    if numbers == {1}:
        return "one victim each"
    over = str(max(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"
    return f"mean ± standard deviation over {over} victims" + "; one victim has no spread" * (1 in numbers)
