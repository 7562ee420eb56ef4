"""A report in the format that is asked for. A new format is a file and a line here."""

from collections.abc import Callable

from nba_cli.reports.formats.data import csv, json
from nba_cli.reports.formats.html import html
from nba_cli.reports.formats.latex import latex
from nba_cli.reports.formats.layout import Layout
from nba_cli.reports.formats.markdown import markdown
from nba_cli.reports.report import Report

FORMATS: dict[str, Callable[[Report, Layout], str]] = {
    "markdown": markdown,
    "csv": csv,
    "json": json,
    "latex": latex,
    "html": html,
}
"""Name of a format -> (report, layout) -> the text of a file. The terminal is drawn by rich, `terminal.table`."""

ENDINGS = {"md": "markdown", "csv": "csv", "json": "json", "tex": "latex", "html": "html"}
"""File ending -> format."""
