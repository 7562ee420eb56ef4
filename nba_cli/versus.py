"""Rows of a table against each other."""

from __future__ import annotations

from collections.abc import Sequence

from nba_cli.report import Key, Line, Section
from nba_cli.stats import paired

HIGHER = ("acc", "ra", "der")  # is better
LOWER = ("asr", "seconds", "forward", "backward", "memory.process")
CONTROL = "none"  # no defense: never the best one


def compare(section: Section, figures: Sequence[str], rows: Sequence[str], against: str | None) -> None:
    """Fill in the differences to the chosen row; mark what is better than every other row by the rule of `stats`.

    Where rows stand for several settings, a defense is compared with others under the same rest of them.
    """
    place = rows.index("defense") if "defense" in rows else None
    for figure in figures:
        having = [made for made in section.lines if figure in made.cells]
        for made in having:
            base = base_of(made, section.lines, len(rows), against)
            if base is not None and base is not made and figure in base.values:
                made.cells[figure].difference = paired(made.values[figure], base.values[figure])
        competing = any(row.partition(".")[0] == "defense" for row in rows)  # attacks or clean ratios do not
        direction = competing * (1 if figure in HIGHER else -1 if figure in LOWER else 0)
        groups: dict[Key, list[Line]] = {}
        for made in having if direction else ():
            rest = () if place is None else made.key[:place] + made.key[place + 1 : len(rows)]
            if place is None or made.key[place] != CONTROL:
                groups.setdefault(rest, []).append(made)
        for group in groups.values():
            best = max(group, key=lambda made: direction * made.cells[figure].summary.mean)
            gaps = [paired(best.values[figure], made.values[figure]) for made in group if made is not best]
            best.cells[figure].best = bool(gaps) and all(gap is not None and gap.sign == direction for gap in gaps)


def base_of(made: Line, lines: Sequence[Line], width: int, against: str | None) -> Line | None:
    """The row to compare with: the one of that label, else the one with that value in the place of this row's own."""
    if against is None:
        return None
    if named := [line for line in lines if line.label == against]:
        return named[0]
    place = next((k for k in range(width) if any(line.key[k] == against for line in lines)), None)
    if place is None:
        return None
    wanted = (*made.key[:place], against, *made.key[place + 1 : width])
    found = [line for line in lines if line.key[:width] == wanted and line.results]
    exact = [line for line in found if line.key[width:] == made.key[width:]]
    return exact[0] if exact else found[0] if len(found) == 1 else None
