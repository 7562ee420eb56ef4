"""Finished runs -> a table: a section for each column value, a line for each row value, repetitions summarised."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nba_cli.results import Result, differing, text
from nba_cli.stats import Difference, Summary, paired, summary

HIGHER = ("acc", "ra", "der")  # is better
LOWER = ("asr", "seconds", "forward", "backward", "memory.process")
CONTROL = "none"  # no defense: never the best one

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


def build(
    results: Sequence[Result],
    rows: Sequence[str],
    cols: Sequence[str],
    figures: Sequence[str],
    against: str | None = None,
    order: dict[str, list[str]] | None = None,
    planned: dict[str, list[str]] | None = None,
) -> Report:
    """Group the results. Runs that share a row and a section but differ in settings other than seeds get lines of their
    own. `order` gives the values of a setting in the order to show them; `planned` those to show without a run, too."""
    planned = planned or {}
    order = (order or {}) | planned
    axes = [*rows, *cols]
    cells: dict[tuple[Key, Key], list[Result]] = {}
    for result in results:
        cells.setdefault((key_of(result, cols), key_of(result, rows)), []).append(result)
    split = list(dict.fromkeys(name for group in cells.values() for name in differing(group) if name not in axes))
    lines: dict[tuple[Key, Key], list[Result]] = {}
    for result in results:
        row = key_of(result, rows) + tuple(f"{name}={text(result.settings[name])}" for name in split
                                           if name in result.settings)  # fmt: skip
        lines.setdefault((key_of(result, cols), row), []).append(result)
    with_runs = {key[: len(rows)] for _, key in lines}
    row_keys = [key for _, key in lines] + [key for key in combinations(rows, planned) if key not in with_runs]
    col_keys = [key for key, _ in lines] + combinations(cols, planned)
    sections = [
        Section(
            label=" ".join(col) or "all runs",
            key=col,
            lines=[line(row, lines.get((col, row), []), figures) for row in ordered(row_keys, rows, order)],
        )
        for col in ordered(col_keys, cols, order)
    ]
    averages = average(sections) if len(sections) > 1 else None
    for section in [*sections, *([averages] if averages else [])]:
        compare(section, figures, against)
    return Report(list(rows), list(cols), list(figures), sections, averages, against, notes(results, rows, cols, split))


def key_of(result: Result, names: Iterable[str]) -> Key:
    return tuple(text(result.settings.get(name)) for name in names)


def combinations(names: Sequence[str], planned: dict[str, list[str]]) -> list[Key]:
    """All keys of planned values; none where a setting has no planned values."""
    return list(itertools.product(*(planned.get(name, []) for name in names)))


def ordered(keys: Iterable[Key], names: Sequence[str], order: dict[str, list[str]]) -> list[Key]:
    """Each key once: known values in their order, numbers by size, the rest by name."""

    def rank(key: Key) -> list[tuple]:
        ranks: list[tuple] = []
        for position, value in enumerate(key):
            known = order.get(names[position], []) if position < len(names) else []
            try:
                number, word = float(value), ""
            except ValueError:
                number, word = float("inf"), value
            ranks.append((known.index(value) if value in known else len(known), number, word))
        return ranks

    return sorted(dict.fromkeys(keys), key=rank)


def line(key: Key, results: list[Result], figures: Sequence[str]) -> Line:
    values: dict[str, dict[Unit, float]] = {
        figure: {result.unit: value for result in results if (value := result.figure(figure)) is not None}
        for figure in figures
    }
    return filled(Line(" ".join(key), key, results), values)


def filled(made: Line, values: dict[str, dict[Unit, float]]) -> Line:
    """Summarise figure -> seeds -> value into the cells of a line."""
    made.values = {figure: found for figure, found in values.items() if found}
    made.cells = {figure: Cell(summary(list(found.values()))) for figure, found in made.values.items()}
    made.n = max((len(found) for found in made.values.values()), default=0)
    return made


def average(sections: Sequence[Section]) -> Section:
    """Over all sections, seed by seed: a line has the figures that every section has for the same seeds."""
    lines = []
    for column in zip(*(section.lines for section in sections), strict=True):
        values: dict[str, dict[Unit, float]] = {}
        for figure, first in column[0].values.items():
            tables = [each.values.get(figure, {}) for each in column]
            units = [unit for unit in first if all(unit in table for table in tables)]
            values[figure] = {unit: sum(table[unit] for table in tables) / len(tables) for unit in units}
        results = [result for each in column for result in each.results]
        lines.append(filled(Line(column[0].label, column[0].key, results), values))
    return Section(f"average of {len(sections)}", (), lines)


def compare(section: Section, figures: Sequence[str], against: str | None) -> None:
    """Fill in the differences to the chosen row; mark what is better than every other row by the rule of `stats`."""
    base = next((made for made in section.lines if against in (made.label, *made.key)), None)
    for figure in figures:
        having = [made for made in section.lines if figure in made.cells]
        for made in having:
            if base in having and made is not base:
                made.cells[figure].difference = paired(made.values[figure], base.values[figure])
        direction = 1 if figure in HIGHER else -1 if figure in LOWER else 0
        candidates = [made for made in having if made.key[0] != CONTROL]
        if direction and len(candidates) > 1:
            best = max(candidates, key=lambda made: direction * made.cells[figure].summary.mean)
            gaps = [paired(best.values[figure], made.values[figure]) for made in candidates if made is not best]
            best.cells[figure].best = all(gap is not None and gap.sign == direction for gap in gaps)


def notes(results: Sequence[Result], rows: Sequence[str], cols: Sequence[str], split: Sequence[str]) -> list[str]:
    """What differs among the runs besides rows, columns and seeds: nothing is averaged over silently."""
    found: dict[str, dict[str, None]] = {}
    for own, others in ((rows, cols), (cols, rows)):
        groups: dict[Key, list[Result]] = {}
        for result in results:
            groups.setdefault(key_of(result, own), []).append(result)
        for group in groups.values():
            for name, values in differing(group).items():
                if (
                    not any(name == axis or name.startswith(f"{axis}.") for axis in [*own, *others])
                    and name not in split
                ):
                    found.setdefault(name, {}).update(dict.fromkeys(map(text, values)))
    said = [f"{name} differs among these runs: {', '.join(values)}" for name, values in found.items()]
    made: dict[str, dict[Any, None]] = {}
    for result in results:
        origin = result.found.get("made", {})
        commits = [origin.get("commit"), result.found.get("victim_commit")]
        made.setdefault("commits", {}).update(dict.fromkeys(each for each in commits if each))
        for name in ("torch", "processor", "threads"):
            made.setdefault(name, {})[origin.get(name)] = None
    return said + [f"{name} differ: {', '.join(map(str, values))}" for name, values in made.items() if len(values) > 1]
