"""What a table is made of, before it is drawn."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from nba_cli.results import Result
from nba_cli.stats import Difference, Summary

Unit = Hashable
Key = tuple[str, ...]


@dataclass
class Cell:
    """One figure of one line: its mean and spread, its distance to the chosen row, whether it is the section's best."""

    summary: Summary
    difference: Difference | None = None
    best: bool = False


@dataclass
class Line:
    """One row value in one section. `values` (by figure, then seeds) and `cells` lack the figures that its runs have
    not: all of them when it has no run."""

    label: str
    key: Key
    results: list[Result] = field(default_factory=list)
    values: dict[str, dict[Unit, float]] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)
    n: int = 0


@dataclass
class Section:
    label: str
    key: Key
    lines: list[Line]


@dataclass
class Report:
    """Fields:
    rows, cols: the settings that the lines and the sections stand for
    figures: short names, in the order of their columns
    sections: one for each value of `cols`
    averages: over the sections, of the rows that all of them have; None for a single section
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
    def results(self) -> list[Result]:
        return [result for section in self.sections for line in section.lines for result in line.results]
