"""Finished runs -> a table: a section for each column value, a line for each row value, repetitions summarised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nba_cli.reports.apart import apart
from nba_cli.reports.differences import compared
from nba_cli.reports.mixtures import by_preset, differing_origins, goes_with, mixed
from nba_cli.reports.report import Key, Line, Report, Section, Values, summarised
from nba_cli.reports.significance import by_victim
from nba_cli.runs.record import Record, differing, text_of

Lines = dict[tuple[Key, Key], list[Record]]
"""(section, line) -> the runs of the line."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a table is to look like.

    Fields:
        rows, cols: the settings that the lines and the sections stand for
        figures: short names, in the order of their columns
        against: label of the row that differences are taken to
        order: setting -> its values in the order to show them
        expected: runs that are not made yet, whose lines and sections are shown all the same
    """

    rows: list[str]
    cols: list[str]
    figures: list[str]
    against: str | None = None
    order: Mapping[str, list[str]] = field(default_factory=dict)
    expected: Sequence[Record] = ()

    @property
    def axes(self) -> list[str]:
        return [*self.rows, *self.cols]


def build(records: Sequence[Record], shape: Shape) -> Report:
    """Group the records.

    Runs that share a row and a section but differ in settings other than seeds get lines of their own.
    """
    split = splitting_settings([*records, *shape.expected], shape)
    lines = grouped(records, shape, split)
    keys = [*lines, *to_come(lines, shape, split)]
    rows = ordered((row for _, row in keys), shape.rows, shape)
    cols = ordered((col for col, _ in keys), shape.cols, shape)
    sections = [
        Section(" ".join(col) or "all runs", col, [make_line(row, lines.get((col, row), []), shape) for row in rows])
        for col in cols
    ]
    averages = average(sections)
    return Report(
        rows=shape.rows,
        cols=shape.cols,
        figures=shape.figures,
        sections=[compared(section, shape.rows, shape.against) for section in sections],
        averages=compared(averages, shape.rows, shape.against) if averages else None,
        against=shape.against,
        notes=notes(records, shape, split),
    )


def splitting_settings(records: Sequence[Record], shape: Shape) -> dict[Key, list[str]]:
    """Row -> the settings, other than seeds, that tell its lines apart: those in which runs of one section differ.

    Of the parts that the rows name, each row has its own; all other settings hold for all rows.
    """
    cells: Lines = {}
    for record in records:
        cells.setdefault((key_of(record, shape.cols), key_of(record, shape.rows)), []).append(record)
    found: dict[Key, dict[str, None]] = {row: {} for _, row in cells}
    for (_, row), group in cells.items():
        found[row] |= dict.fromkeys(name for name in differing(group) if name not in shape.axes)
    names = dict.fromkeys(name for own in found.values() for name in own)
    parts = {name.partition(".")[0] for name in shape.rows}
    return {
        row: [name for name in names if name in own or name.partition(".")[0] not in parts]
        for row, own in found.items()
    }


def grouped(records: Sequence[Record], shape: Shape, split: Mapping[Key, Sequence[str]]) -> Lines:
    """The runs of each line; the settings in `split` divide a cell into lines of its own.

    Runs of one line with the same seeds are not repetitions of one another: each gets a line, named by its folder.
    """
    lines: Lines = {}
    for record in records:
        lines.setdefault(place_of(record, shape, split), []).append(record)
    found: Lines = {}
    for (col, row), group in lines.items():
        unique = len({record.seeds for record in group}) == len(group)
        for record in group:
            found.setdefault((col, row if unique else (*row, record.folder.name)), []).append(record)
    return found


def to_come(lines: Lines, shape: Shape, split: Mapping[Key, Sequence[str]]) -> list[tuple[Key, Key]]:
    """(section, line) of each run that is not made yet: a line of others, if they agree in all that is known of it."""
    found = []
    for record in shape.expected:
        col, own = place_of(record, shape, split)
        unknown = tuple(f"{name}=" for name in split[own[: len(shape.rows)]] if name not in record.settings)
        agreeing = (line for _, line in lines if own == tuple(word for word in line if not word.startswith(unknown)))
        found.append((col, next(agreeing, own)))
    return found


def place_of(record: Record, shape: Shape, split: Mapping[Key, Sequence[str]]) -> tuple[Key, Key]:
    """(section, line) of a run: the line says what tells it from others of its row, too."""
    row = key_of(record, shape.rows)
    return key_of(record, shape.cols), row + apart(record, split[row], shape.rows)


def key_of(record: Record, names: Iterable[str]) -> Key:
    return tuple(text_of(record.settings, name) for name in names)


def ordered(keys: Iterable[Key], names: Sequence[str], shape: Shape) -> list[Key]:
    """Each key once: known values in their order, numbers by size, the rest by name."""

    def rank(key: Key) -> list[tuple]:
        ranks: list[tuple] = []
        for position, value in enumerate(key):
            known = shape.order.get(names[position], []) if position < len(names) else []
            try:
                number, word = float(value), ""
            except ValueError:
                number, word = float("inf"), value
            ranks.append((known.index(value) if value in known else len(known), number, word))
        return ranks

    return sorted(dict.fromkeys(keys), key=rank)


def make_line(key: Key, records: Sequence[Record], shape: Shape) -> Line:
    values = {
        figure: by_victim(
            (record.victim_seed, value) for record in records if (value := record.figure(figure)) is not None
        )
        for figure in shape.figures
    }
    return summarised(" ".join(key), key, records, values)


def average(sections: Sequence[Section]) -> Section | None:
    """Seed by seed: a line has the figures that all these sections have for victims of the same seeds.

    A section that lacks a figure which others know is left out, so that all figures are of the same sections: a clean
    model has no ASR, and its ACC has no place beside that of others. None if no two are left, or if they have no
    victims of equal seeds, as where seeds are the sections.
    """
    known = [{name for line in section.lines for name in line.values} for section in sections]
    every = set().union(*known)
    whole = [section for section, own in zip(sections, known, strict=True) if own == every]
    if len(whole) < 2:
        return None
    lines = []
    for column in zip(*(section.lines for section in whole), strict=True):
        values: dict[str, Values] = {}
        for figure in dict.fromkeys(name for line in column for name in line.values):
            tables = [line.values.get(figure, {}) for line in column]
            shared = [seeds for seeds in tables[0] if all(seeds in table for table in tables)]
            values[figure] = {seeds: sum(table[seeds] for table in tables) / len(tables) for seeds in shared}
        records = [record for line in column for record in line.records]
        lines.append(summarised(column[0].label, column[0].key, records, values))
    return Section("average", (), lines, len(whole)) if any(line.cells for line in lines) else None


def notes(records: Sequence[Record], shape: Shape, split: Mapping[Key, Sequence[str]]) -> list[str]:
    """What differs among the runs besides rows, columns and seeds, unless the lines say it: nothing is averaged over
    silently."""
    by_all = set.intersection(*map(set, split.values())) if split else set()
    found = {
        name: values
        for name, values in mixed(records, shape.rows, shape.cols).items()
        if name not in by_all and not any(goes_with(name, axis) for axis in shape.rows)
    }
    for row, own in split.items():
        inside = mixed([record for record in records if key_of(record, shape.rows) == row], shape.rows, shape.cols)
        found |= {name: values for name, values in inside.items() if name not in own}
    differ = [f"{name} differs among these runs: {', '.join(found[name])}" for name in found]
    return [*by_preset([*records, *shape.expected], shape.cols), *differ, *differing_origins(records)]
