"""A report in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nba_cli.reports.formats.columns import stacked
from nba_cli.reports.formats.grid import APART, Grid, Row, parts_of
from nba_cli.reports.formats.layout import MISSING

INDENT, BETWEEN = 2, 2
READABLE, SHORTEST = 16, 8
"""Labels are not made narrower than this to save a panel, nor than that to keep a figure whole."""


def table(found: Grid, title: str, width: int) -> Group:
    """Sections under their headings, the best in bold, what is missing in yellow.

    What does not fit beside the labels within `width` follows below, in panels.
    """
    rows = [row.words for block in found.blocks for row in block.rows]
    widths = [
        max(longest_word(heading), *(cell_len(words[place]) for words in rows), 1)
        for place, heading in enumerate(found.headings[1:], start=1)
    ]
    labels = [found.headings[0], *(words[0] for words in rows)]
    whole = INDENT + max(map(cell_len, labels))
    least = min(whole, max(READABLE, INDENT + max(map(longest_word, labels))))
    parts: list[RenderableType] = [Text(title, style="bold italic")] if title else []
    panels = stacked([each + BETWEEN for each in widths], width - least - BETWEEN)
    for number, panel in enumerate(panels):
        own = [widths[place] for place in panel]
        label = min(whole, max(SHORTEST, width - BETWEEN - sum(own) - BETWEEN * len(own)))
        parts += [Text("")] if number else []
        parts += drawn(found, [place + 1 for place in panel], [label, *own])
    return Group(*parts)


def longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def drawn(found: Grid, columns: Sequence[int], widths: Sequence[int]) -> list[RenderableType]:
    """One panel: these columns beside the labels."""
    headings = [found.headings[0], *(found.headings[place] for place in columns)]
    parts: list[RenderableType] = [lines([[Text(each, style="bold") for each in headings]], widths, "bottom")]
    for number, block in enumerate(found.blocks):
        parts += [Text("")] if number else []
        parts += [Text(f" {block.heading}", style="bold")] if found.sections is not None else []
        indent = 0 if found.sections is None else INDENT
        parts.append(lines([cells(row, columns, indent) for row in block.rows], widths))
    return parts


def lines(
    rows: Sequence[Sequence[RenderableType]], widths: Sequence[int], vertical: Literal["top", "bottom"] = "top"
) -> Table:
    """Rows in columns of these widths; in a terminal that is too narrow for them, a word goes on below itself."""
    made = Table(box=None, padding=(0, BETWEEN // 2), show_header=False)
    for place, width in enumerate(widths):
        made.add_column(width=width, justify="right" if place else "left", overflow="fold", vertical=vertical)
    for row in rows:
        made.add_row(*row)
    return made


def cells(row: Row, columns: Sequence[int], indent: int) -> list[RenderableType]:
    label = Padding(Text(row.words[0], overflow="fold"), (0, 0, 0, indent))
    return [label, *(styled(row.words[place]) for place in columns)]


def styled(word: str) -> Text:
    """A cell; what is the best of it stands out."""
    if word == MISSING:
        return Text(word, style="yellow")
    figures = [Text(figure, style="bold green" if best else "") for figure, best in parts_of(word)]
    return Text(APART).join(figures)
