"""A report in LaTeX: a table with caption and label that breaks over pages and fits the width of one column of text."""

from __future__ import annotations

import re

from nba_cli.reports.formats.layout import GAP, Layout, blocks, headings, parts, remarks
from nba_cli.reports.report import Report

MARK = "% made by nba table"  # a file that has it may be replaced
SIZES = {"small": 68, "footnotesize": 74, "scriptsize": 80, "tiny": 94}
"""Size of letters -> how many of them, with the gaps between columns, a line of LaTeX's plain article holds."""
LABEL = 40  # letters of a line's label; a longer one wraps

SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "Δ": r"$\Delta$", "—": "--", "…": r"\dots{}", "[": "{[}",
}  # fmt: skip


def escape(text: str) -> str:
    """Any text as LaTeX source; a starred cell is bold."""
    bold = text.endswith(" *")
    shown = "".join(SPECIAL.get(character, character) for character in " ".join(text.removesuffix(" *").split()))
    return rf"\textbf{{{shown}}}" if bold else shown


def label(text: str) -> str:
    """What \\ref calls the table."""
    return "tab:" + "-".join(re.findall(r"[a-z0-9]+", text.lower()))


def latex(report: Report, layout: Layout) -> str:
    """Longtables with booktabs rules, to be put in with \\input; bold where the other formats have a star.

    One, or as many as hold all columns in letters that can be read; the others carry on under the first one's caption.
    """
    titles, content = headings(report), blocks(report, layout)
    rows = [words for _, lines in content for words in lines]
    widths = [max(len(words[column]) for words in [titles, *rows]) for column in range(len(titles))]
    widths[0] = min(widths[0], LABEL)
    together = parts(widths, max(SIZES.values()))
    wanted = max(sum(widths[column] + GAP for column in columns) for columns in together)
    size = next((name for name, room in SIZES.items() if wanted <= room), "tiny")
    said = [text.replace("* is", "Bold is") for text in remarks(report, layout)]
    lines = [f"% {' '.join(text.split())}" for text in (layout.command, *said, *layout.missing) if text]
    lines += [
        MARK,
        r"% \usepackage{array,booktabs,longtable}",
        rf"\begingroup\{size}\setlength{{\tabcolsep}}{{0.45em}}",
    ]
    for number, columns in enumerate(together):
        caption = "" if number else rf"\caption{{{escape(layout.title)}.}}\label{{{label(layout.title)}}} \\"
        lines += part(titles, widths[0], content, columns, caption)
    return "\n".join([*lines, r"\endgroup"]) + "\n"


def part(
    titles: list[str], first: int, content: list[tuple[str, list[list[str]]]], columns: list[int], caption: str
) -> list[str]:
    """The lines of a longtable with these columns, the first of which wraps after `first` letters."""

    def row(words: list[str]) -> str:
        return " & ".join(escape(words[column]) for column in columns) + r" \\"

    wrapped = rf">{{\raggedright\arraybackslash\hangindent=1em}}p{{{first * 0.5 + 0.5:.1f}em}}"
    heading = [r"\toprule", row(titles)]
    lines = [rf"\begin{{longtable}}{{@{{}}{wrapped}{'r' * (len(columns) - 1)}@{{}}}}", *([caption] if caption else [])]
    lines += [*heading, r"\endfirsthead", *heading, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot"]
    for section, block in content:
        lines += [r"\midrule", rf"\multicolumn{{{len(columns)}}}{{@{{}}l}}{{\emph{{{escape(section)}}}}} \\*"]
        lines += map(row, block)
    return [*lines, r"\end{longtable}"]
