"""A report as Markdown."""

from __future__ import annotations

import re

from nba_cli.reports.formats.grid import flat, grid, legend
from nba_cli.reports.formats.layout import Layout
from nba_cli.reports.report import Report

MARK = "<!-- made by nba table -->"  # a file that has it may be replaced
MARKUP = re.compile(r"[\\`*\[\]<>|&$~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def plain(text: str) -> str:
    """Any text as Markdown that shows it, on one line."""
    line = " ".join(text.split())
    return MARKUP.sub(lambda found: {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(found[0], f"\\{found[0]}"), line)


def code(text: str) -> str:
    """A command as a code block of one line."""
    return "    " + " ".join(text.split())


def markdown(report: Report, layout: Layout) -> str:
    """One table; the section is its first column."""
    found = grid(report, layout)
    headings, rows = flat(found)
    labels = 1 if found.sections is None else 2
    rule = ["---"] * labels + ["---:"] * (len(headings) - labels)
    cells = [[*map(plain, row.words[:labels]), *row.words[labels:]] for row in rows]
    table = ["| " + " | ".join(row) + " |" for row in (map(plain, headings), rule, *cells)]
    head = [f"# {plain(layout.title)}", ""] + ([code(layout.command), ""] if layout.command else [])
    said = [plain(layout.origin), legend(found), *map(plain, [*found.notes, *report.notes])]
    notes = [line for text in said if text for line in (text, "")]
    gaps = ["", "Missing; this fills them:", "", *map(code, layout.missing)] if layout.missing else []
    return "\n".join([*head, *notes, *table, *gaps, "", MARK]) + "\n"
