"""Finished runs -> a table: a section for each column value, a line for each row value, repetitions summarised."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from nba_cli import versus
from nba_cli.report import Cell, Key, Line, Report, Section, Unit
from nba_cli.results import Result, differing, text
from nba_cli.stats import summary


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
    lines = apart(lines)
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
        versus.compare(section, figures, rows, against)
    return Report(list(rows), list(cols), list(figures), sections, averages, against, notes(results, rows, cols, split))


def apart(lines: dict[tuple[Key, Key], list[Result]]) -> dict[tuple[Key, Key], list[Result]]:
    """Runs of one line with the same seeds are no repetitions of one another: each gets a line, named by its folder."""
    found: dict[tuple[Key, Key], list[Result]] = {}
    for (col, row), group in lines.items():
        unique = len({result.unit for result in group}) == len(group)
        for result in group:
            found.setdefault((col, row if unique else (*row, result.folder.name)), []).append(result)
    return found


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
    """Over all sections, seed by seed: a line has the figures that it has in every section for the same seeds.

    A section that knows no such figure is left out: a clean model has no ASR.
    """
    having = [{name for line in section.lines for name in line.values} for section in sections]
    lines = []
    for column in zip(*(section.lines for section in sections), strict=True):
        values: dict[str, dict[Unit, float]] = {}
        for figure in dict.fromkeys(name for each in column for name in each.values):
            tables = [each.values.get(figure, {}) for each, own in zip(column, having, strict=True) if figure in own]
            units = [unit for unit in tables[0] if all(unit in table for table in tables)]
            values[figure] = {unit: sum(table[unit] for table in tables) / len(tables) for unit in units}
        results = [result for each in column for result in each.results]
        lines.append(filled(Line(column[0].label, column[0].key, results), values))
    fewer = {name: n for name in set().union(*having) if (n := sum(name in own for own in having)) < len(sections)}
    but = f" ({', '.join(f'{name}: of {n}' for name, n in sorted(fewer.items()))})" if fewer else ""
    return Section(f"average of {len(sections)}{but}", (), lines)


def notes(results: Sequence[Result], rows: Sequence[str], cols: Sequence[str], split: Sequence[str]) -> list[str]:
    """What differs among the runs besides rows, columns and seeds: nothing is averaged over silently."""
    found: dict[str, dict[str, None]] = {}
    for own, others in ((rows, cols), (cols, rows)):
        groups: dict[Key, list[Result]] = {}
        for result in results:
            groups.setdefault(key_of(result, own), []).append(result)
        for group in groups.values():
            for name, values in differing(group).items():
                if not any(name == axis or name.startswith(f"{axis}.") for axis in others) and name not in split:
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
