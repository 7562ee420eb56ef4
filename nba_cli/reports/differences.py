"""Rows of a table against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nba_cli.reports.report import CONTROL, Key, Line, Section
from nba_cli.reports.significance import Difference, paired

BETTER = {"acc": 1, "ra": 1, "der": 1, "asr": -1, "seconds": -1, "forward": -1, "backward": -1, "memory.process": -1}
"""Figure -> 1 if higher is better, -1 if lower is."""


def compared(section: Section, rows: Sequence[str], against: str | None) -> Section:
    """The section with the differences to the chosen row, and with what is better than every other row marked.

    `rows` are the settings that its lines stand for. Only defenses compete: attacks or clean ratios do not.
    """
    figures = list(dict.fromkeys(figure for line in section.lines for figure in line.cells))
    compete = any(row.partition(".")[0] == "defense" for row in rows)
    best = {figure: best_lines(section.lines, figure, rows) if compete else [] for figure in figures}
    lines = []
    for line in section.lines:
        base = reference_row(line, section.lines, len(rows), against)
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

    Where rows stand for several settings, a defense competes with others under the same rest of them.
    """
    if figure not in BETTER:
        return []
    place = rows.index("defense") if "defense" in rows else None
    groups: dict[Key, list[Line]] = {}
    for line in lines:
        if figure in line.cells and (place is None or line.key[place] != CONTROL):
            rest = () if place is None else line.key[:place] + line.key[place + 1 : len(rows)]
            groups.setdefault(rest, []).append(line)
    return [best for group in groups.values() if (best := winner(group, figure)) is not None]


def winner(lines: Sequence[Line], figure: str) -> Line | None:
    """The line that is better than every other one beyond doubt; None where there is none, or nothing to beat."""
    sign = BETTER[figure]
    first = max(lines, key=lambda line: sign * line.cells[figure].summary.mean)
    gaps = [paired(first.values[figure], line.values[figure]) for line in lines if line is not first]
    return first if gaps and all(gap is not None and gap.sign == sign for gap in gaps) else None


def reference_row(line: Line, lines: Sequence[Line], width: int, against: str | None) -> Line | None:
    """The row to compare with: the one labelled `against`, else the one with that value where this row has its own.

    `width` is the number of row settings.
    """
    if against is None:
        return None
    if labelled := [each for each in lines if each.label == against]:
        return labelled[0]
    place = next((k for k in range(width) if any(each.key[k] == against for each in lines)), None)
    if place is None:
        return None
    wanted = (*line.key[:place], against, *line.key[place + 1 : width])
    found = [each for each in lines if each.key[:width] == wanted and each.records]
    exact = [each for each in found if each.key[width:] == line.key[width:]]
    return exact[0] if exact else found[0] if len(found) == 1 else None
