"""A report in the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from nba_cli.reports.formats.layout import MISSING, Layout, blocks, headings
from nba_cli.reports.report import Report


def table(report: Report, layout: Layout) -> Table:
    """Sections under their headings, the best in bold, what is missing in yellow."""
    made = Table(
        box=None, padding=(0, 1), header_style="bold", title=escape(layout.title) or None, title_justify="left"
    )
    for position, heading in enumerate(headings(report)):
        made.add_column(escape(heading), justify="left" if position == 0 else "right")
    for number, (section, lines) in enumerate(blocks(report, layout)):
        if number:
            made.add_row()
        made.add_row(f"[bold]{escape(section)}[/bold]")
        for words in lines:
            made.add_row(*(styled(word, position) for position, word in enumerate(words)))
    return made


def styled(word: str, position: int) -> str:
    text = escape(word)
    if position == 0:
        return f"  {text}"
    if word.endswith(" *"):
        return f"[bold green]{text}[/bold green]"
    return f"[yellow]{text}[/yellow]" if word == MISSING else text
