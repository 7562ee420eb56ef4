"""A report in the form that is asked for. A new form is a file and a line here."""

from collections.abc import Callable

from nba_cli.render.html import html
from nba_cli.render.layout import Layout
from nba_cli.render.plain import csv, latex, markdown
from nba_cli.report import Report

FORMS: dict[str, Callable[[Report, Layout], str]] = {
    "markdown": markdown,
    "csv": csv,
    "latex": latex,
    "html": html,
}
"""Name of a form -> (report, layout) -> the text of a file. The terminal is a rich table, `terminal.table`."""

ENDINGS = {"md": "markdown", "csv": "csv", "tex": "latex", "html": "html"}
"""File ending -> form."""
