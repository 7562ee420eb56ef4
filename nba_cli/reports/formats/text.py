"""A report as text: Markdown, CSV, LaTeX."""

from __future__ import annotations

import csv as writer
import io

from nba_cli.reports.formats.layout import Layout, blocks, headings, remarks
from nba_cli.reports.report import Report


def markdown(report: Report, layout: Layout) -> str:
    """One table; the section is its first column."""
    titles = [" ".join(report.cols), *headings(report)]
    rows = [[section, *words] for section, lines in blocks(report, layout) for words in lines]
    rule = ["---", "---"] + ["---:"] * (len(titles) - 2)
    table = ["| " + " | ".join(row).replace("\n", " ") + " |" for row in (titles, rule, *rows)]
    head = [f"# {layout.title}", ""] + ([f"    {layout.command}", ""] if layout.command else [])
    notes = [line for text in remarks(report, layout) for line in (text, "")]
    gaps = ["", "Missing; this fills them:", "", *(f"    {line}" for line in layout.missing)] if layout.missing else []
    return "\n".join([*head, *notes, *table, *gaps]) + "\n"


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
                out.writerow([*section.key, *own, "", 0, *([""] * len(names))])
            for figure, cell in line.cells.items():
                found, gap = cell.summary, cell.difference
                interval = [gap.n, gap.mean, gap.low, gap.high] if gap else [""] * 4
                folders = " ".join(each.folder.name for each in line.records)
                spread = "" if found.std is None else found.std
                out.writerow([*section.key, *own, figure, found.n, found.mean, spread, cell.best, *interval, folders])
    return text.getvalue()


SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "Δ": r"$\Delta$", "—": "--", "…": r"\dots{}", "[": "{[}",
}  # fmt: skip


def escape(text: str) -> str:
    """Any text as LaTeX source; a starred cell is bold."""
    bold = text.endswith(" *")
    plain = "".join(SPECIAL.get(character, character) for character in text.removesuffix(" *"))
    return rf"\textbf{{{plain}}}" if bold else plain


def latex(report: Report, layout: Layout) -> str:
    """A booktabs table, to be put in with \\input; bold where the other formats have a star."""
    titles = headings(report)
    width = len(titles)
    said = [text.replace("* is", "Bold is") for text in remarks(report, layout)]
    lines = [f"% {text}" for text in (layout.command, *said, *layout.missing) if text]
    lines += [r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}", r"\toprule"]
    lines.append(" & ".join(map(escape, titles)) + r" \\")
    for section, rows in blocks(report, layout):
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escape(section)}}}}} \\"]
        lines += [" & ".join(map(escape, row)) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"
