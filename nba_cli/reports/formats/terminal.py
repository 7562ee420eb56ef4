"""A report in the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from nba_cli.reports.formats.layout import GAP, MISSING, Layout, blocks, headings, parts
from nba_cli.reports.report import Report


def table(report: Report, layout: Layout, width: int) -> RenderableType:
    """The report for a terminal of `width` characters: one table, or as many parts with some of its columns each.

    No figure is cut: what does not fit beside the others goes into the next part.
    """
    titles, content = headings(report), blocks(report, layout)
    lines = [words for _, block in content for words in block]
    needed = [
        max([len(word) for word in title.split()] + [len(words[column]) for words in lines])
        for column, title in enumerate(titles)
    ]
    needed[0] = min(needed[0] + 2, width // 2)  # indented; a long label wraps
    made = []
    for columns in parts(needed, width):
        spare = width - sum(needed[column] + GAP for column in columns)
        widths = {column: needed[column] for column in columns}
        for column in columns[1:]:  # headings stay on one line where there is room
            more = min(spare, max(0, len(titles[column]) - needed[column]))
            widths[column] += more
            spare -= more
        made.append(part(titles, widths, content))
    made[0].title = escape(layout.title) or None
    return Group(*made)


def part(titles: list[str], widths: dict[int, int], content: list[tuple[str, list[list[str]]]]) -> Table:
    """The columns that have a width: sections under their headings, the best in bold, what is missing in yellow."""
    made = Table(box=None, padding=(0, 1), header_style="bold", title_justify="left")
    for column, width in widths.items():
        made.add_column(escape(titles[column]), justify="right" if column else "left", overflow="fold", width=width)
    for number, (section, lines) in enumerate(content):
        if number:
            made.add_row()
        made.add_row(f"[bold]{escape(section)}[/bold]")
        for words in lines:
            made.add_row(*(styled(words[column], column) for column in widths))
    return made


def styled(word: str, column: int) -> RenderableType:
    text = escape(word)
    if column == 0:
        return Padding(text, (0, 0, 0, 2))
    if word.endswith(" *"):
        return f"[bold green]{text}[/bold green]"
    return f"[yellow]{text}[/yellow]" if word == MISSING else text
