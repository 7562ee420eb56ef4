"""A report as text: Markdown, CSV, LaTeX."""

from __future__ import annotations

import csv as writer
import io
import re

from nba_cli.reports.formats.layout import Layout, blocks, headings, remarks
from nba_cli.reports.report import Report

MARKDOWN_MARK, LATEX_MARK = "<!-- made by nba table -->", "% made by nba table"  # a file that has one may be replaced
NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?")
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
    titles = [plain(text) for text in (" ".join(report.cols), *headings(report))]
    rows = [
        [plain(section), plain(label), *cells] for section, lines in blocks(report, layout) for label, *cells in lines
    ]
    rule = ["---", "---"] + ["---:"] * (len(titles) - 2)
    table = ["| " + " | ".join(row) + " |" for row in (titles, rule, *rows)]
    head = [f"# {plain(layout.title)}", ""] + ([code(layout.command), ""] if layout.command else [])
    notes = [line for text in remarks(report, layout) for line in (text if text == layout.legend else plain(text), "")]
    gaps = ["", "Missing; this fills them:", "", *map(code, layout.missing)] if layout.missing else []
    return "\n".join([*head, *notes, *table, *gaps, "", MARKDOWN_MARK]) + "\n"


def cell_of(value: object) -> object:
    """A value that a spreadsheet shows: it would compute a text that begins like a formula."""
    formula = isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@") and not NUMBER.fullmatch(value)
    return f"'{value}" if formula else value


def csv(report: Report, layout: Layout) -> str:
    """For programs: a line per cell and figure, unrounded, shares in [0,1], with the folders behind it."""
    text = io.StringIO()
    out = writer.writer(text, lineterminator="\n")
    names = ("n", "mean", "std", "best", "pairs", "difference", "low", "high")
    out.writerow([*(f"col {c}" for c in report.cols), *(f"row {r}" for r in report.rows), "figure", *names, "runs"])
    for section in report.sections:
        for line in section.lines:
            own = list(line.key[: len(report.rows)])
            own[-1] = " ".join([own[-1], *line.key[len(report.rows) :]])
            if not line.records:
                out.writerow([*map(cell_of, (*section.key, *own)), "", 0, *([""] * len(names))])
            for figure, cell in line.cells.items():
                found, gap = cell.summary, cell.difference
                interval = [gap.n, gap.mean, gap.low, gap.high] if gap else [""] * 4
                folders = " ".join(each.folder.name for each in line.records)
                spread = "" if found.std is None else found.std
                about = map(cell_of, (*section.key, *own, figure))
                out.writerow([*about, found.n, found.mean, spread, cell.best, *interval, cell_of(folders)])
    return text.getvalue()


SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "Δ": r"$\Delta$", "—": "--", "…": r"\dots{}", "[": "{[}",
}  # fmt: skip


def escape(text: str) -> str:
    """Any text as LaTeX source; a starred cell is bold."""
    bold = text.endswith(" *")
    shown = "".join(SPECIAL.get(character, character) for character in " ".join(text.removesuffix(" *").split()))
    return rf"\textbf{{{shown}}}" if bold else shown


def latex(report: Report, layout: Layout) -> str:
    """A booktabs table, to be put in with \\input; bold where the other formats have a star."""
    titles = headings(report)
    width = len(titles)
    said = [text.replace("* is", "Bold is") for text in remarks(report, layout)]
    lines = [f"% {' '.join(text.split())}" for text in (layout.command, *said, *layout.missing) if text]
    lines += [
        LATEX_MARK,
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
    ]
    lines.append(" & ".join(map(escape, titles)) + r" \\")
    for section, rows in blocks(report, layout):
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escape(section)}}}}} \\"]
        lines += [" & ".join(map(escape, row)) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"
