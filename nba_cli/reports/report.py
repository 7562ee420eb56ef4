"""What a table is made of, before it is drawn."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from nba_cli.reports.significance import Difference, Summary, summary
from nba_cli.runs.record import Record

Values = dict[Hashable, float]
"""Victim -> a figure of it, averaged over defense seeds and clean sets."""

Key = tuple[str, ...]
"""The values of some settings, as text."""

CONTROL = "none"  # no defense: the row that every other one is measured by, never the best one
SHARES = ("acc", "asr", "ra", "der", "floor", "reference")


def is_share(figure: str) -> bool:
    """Whether a figure lies in [0,1], so that tables show it in percent."""
    where, _, leaf = figure.rpartition(".")
    return figure in SHARES or (where in ("figures", "reference", "before") and leaf != "triggered")


@dataclass(frozen=True)
class Cell:
    """One figure of one line: its mean and spread, its distance to the chosen row, whether it is the section's best."""

    summary: Summary
    difference: Difference | None = None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One row value in one section.

    Fields:
        label: what the line is called
        key: the values of the row settings, then whatever else tells it from other lines
        records: its finished runs; none if they are missing
        values: figure -> victim -> value, of the figures that its runs have
        cells: figure -> cell, of the same figures
    """

    label: str
    key: Key
    records: Sequence[Record]
    values: dict[str, Values]
    cells: dict[str, Cell]

    @property
    def n(self) -> int:
        """Victims of the figure that has most of them."""
        return max((len(found) for found in self.values.values()), default=0)


def summarised(label: str, key: Key, records: Sequence[Record], values: dict[str, Values]) -> Line:
    """The line with these values, summarised into cells."""
    known = {figure: found for figure, found in values.items() if found}
    cells = {figure: Cell(summary(list(found.values()))) for figure, found in known.items()}
    return Line(label, key, records, known, cells)


@dataclass(frozen=True)
class Section:
    """One column value. `over`: of an average, the number of sections that it is taken over; else 0."""

    label: str
    key: Key
    lines: list[Line]
    over: int = 0


@dataclass(frozen=True)
class Report:
    """Fields:
    rows, cols: the settings that the lines and the sections stand for
    figures: short names, in the order of their columns
    sections: one for each value of `cols`
    averages: over the sections that know every figure, of the rows that all of them have; None if there is none
    against: label of the row that differences are taken to
    notes: what a reader has to know: settings and commits that differ
    """

    rows: list[str]
    cols: list[str]
    figures: list[str]
    sections: list[Section]
    averages: Section | None
    against: str | None
    notes: list[str]

    @property
    def records(self) -> list[Record]:
        return [record for section in self.sections for line in section.lines for record in line.records]
