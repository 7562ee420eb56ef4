"""Rows of a table against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from nba_cli.reports.report import CONTROL, Key, Line, Section
from nba_cli.reports.significance import Difference, paired

BETTER = {"acc": 1, "ra": 1, "der": 1, "asr": -1, "seconds": -1, "forward": -1, "backward": -1, "memory.process": -1}
"""Figure -> 1 if higher is better, -1 if lower is."""


def compared(section: Section, rows: Sequence[str], against: str | None) -> Section:
    """The section with the differences to the chosen row, and with what is better than all it competes with marked.

    `rows` are the settings that its lines stand for. Only defenses compete: attacks or clean ratios do not.
    """
    figures = list(dict.fromkeys(figure for line in section.lines for figure in line.cells))
    compete = any(row.partition(".")[0] == "defense" for row in rows)
    best = {figure: best_lines(section.lines, figure, rows) if compete else [] for figure in figures}
    reference_of = reference_rows(section.lines, len(rows), against)
    lines = []
    for line in section.lines:
        base = reference_of(line)
        cells = {
            figure: replace(cell, difference=difference(line, base, figure), best=line in best[figure])
            for figure, cell in line.cells.items()
        }
        lines.append(replace(line, cells=cells))
    return replace(section, lines=lines)


def difference(line: Line, base: Line | None, figure: str) -> Difference | None:
    """The paired difference of a line to its reference row; None if it has none, or is that row."""
    if base is None or base is line or figure not in base.values:
        return None
    return paired(line.values[figure], base.values[figure])


def best_lines(lines: Sequence[Line], figure: str, rows: Sequence[str]) -> list[Line]:
    """The lines that are better in `figure` than every other one that they compete with, by the rule of `paired`.

    Where rows stand for several settings, a defense competes with all others, whatever their own options, under the
    same rest of them.
    """
    if figure not in BETTER:
        return []
    place = rows.index("defense") if "defense" in rows else None
    others = [] if place is None else [k for k, name in enumerate(rows) if name.partition(".")[0] != "defense"]
    groups: dict[Key, list[Line]] = {}
    for line in lines:
        if figure in line.cells and (place is None or line.key[place] != CONTROL):
            groups.setdefault(tuple(line.key[k] for k in others), []).append(line)
    return [best for group in groups.values() if (best := winner(group, figure)) is not None]


def winner(lines: Sequence[Line], figure: str) -> Line | None:
    """The line that is better than every other one beyond doubt; None where there is none, or nothing to beat."""
    sign = BETTER[figure]
    first = max(lines, key=lambda line: sign * line.cells[figure].summary.mean)
    gaps = [paired(first.values[figure], line.values[figure]) for line in lines if line is not first]
    return first if gaps and all(gap is not None and gap.sign == sign for gap in gaps) else None


def reference_rows(lines: Sequence[Line], width: int, against: str | None) -> Callable[[Line], Line | None]:
    """Line -> the row to compare it with: the one labelled `against`, else the one with that value in place of its own.

    `width` is the number of row settings.
    """
    labelled = next((each for each in lines if each.label == against), None)
    place = next((k for k in range(width) if any(each.key[k] == against for each in lines)), None)
    if against is None or labelled is not None or place is None:
        return lambda line: labelled
    rows: dict[Key, list[Line]] = {}
    exact: dict[Key, Line] = {}
    for each in lines:
        if each.records:
            rows.setdefault(each.key[:width], []).append(each)
            exact.setdefault(each.key, each)

    def found(line: Line) -> Line | None:
        wanted = (*line.key[:place], against, *line.key[place + 1 : width])
        same = rows.get(wanted, [])
        return exact.get(wanted + line.key[width:], same[0] if len(same) == 1 else None)

    return found
