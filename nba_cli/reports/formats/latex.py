"""A report as LaTeX, to be put into a paper with \\input."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from textwrap import wrap

from nba_cli.reports.formats.columns import stacked
from nba_cli.reports.formats.grid import APART, Grid, grid, legend, parts_of
from nba_cli.reports.formats.layout import BEST, Layout
from nba_cli.reports.report import Report

MARK = "% made by nba table"  # a file that has it may be replaced
PAGE_WIDTH = 38.5  # em of \footnotesize: the text of LaTeX's own classes is wider at 10, 11 and 12 pt
PAGE_LINES = 40  # that fit on a page of these classes below the caption
GAP = 0.7  # em between two columns
SPACING = rf"\setlength{{\tabcolsep}}{{{GAP / 2:g}em}}"
LABEL = 10.0  # em that labels have at least, if they need so much
SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "Δ": r"$\Delta$", "—": "--", "…": r"\dots{}",
    "[": "{[}",
}  # fmt: skip
NARROW, BROAD = " .,:;'!|()[]-filjrst", "mwMW%±Δ+=<>"
BOLD = 1.15  # times as wide


def escape(text: str) -> str:
    """Any text as LaTeX source."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))


def figures(word: str) -> str:
    """A cell; what is starred elsewhere is bold."""
    return APART.join(
        rf"\textbf{{{escape(figure.removesuffix(BEST))}}}" if best else escape(figure)
        for figure, best in parts_of(word)
    )


def em(text: str) -> float:
    """About how wide a text is in Computer Modern, rather more than less."""
    widths = (0.39 if each in NARROW else 0.84 if each in BROAD else 0.76 if each.isupper() else 0.53 for each in text)
    return sum(widths) * (BOLD if BEST in text else 1)


def longest_word(text: str) -> float:
    return max(map(em, text.split()), default=0.0)


def latex(report: Report, layout: Layout) -> str:
    """A booktabs table with caption and label: a table* if it fits on a page, else a longtable."""
    found = grid(report, layout)
    comments = [layout.command, layout.origin, *found.notes, *report.notes, *layout.missing]
    title = layout.title if layout.title.endswith((".", "?", "!")) else f"{layout.title}."
    caption = " ".join([title, legend(found).replace("* is", "Bold is"), *found.notes])
    titled = rf"\caption{{{escape(caption)}}}\label{{tab:{layout.label}}}"
    label, panels = fitted(found)
    form = on_one_page if length(found, label, panels) <= PAGE_LINES else over_pages
    lines = [f"% {' '.join(text.split())}" for text in comments if text]
    return "\n".join([*lines, MARK, *form(found, label, panels, titled)]) + "\n"


def fitted(found: Grid) -> tuple[float | None, list[range]]:
    """The width of the labels, None for as wide as they are, and the columns of each panel."""
    rows = [row.words for block in found.blocks for row in block.rows]
    places = range(1, len(found.headings))
    widths = [GAP + max(longest_word(found.headings[k]), *(em(words[k]) for words in rows)) for k in places]
    labels = [found.headings[0], *(words[0] for words in rows)]
    whole = GAP + max(map(em, labels))
    least = min(whole, GAP + max(LABEL, *map(longest_word, labels)))
    panels = stacked(widths, PAGE_WIDTH - least)
    room = PAGE_WIDTH - max(sum(widths[place] for place in panel) for panel in panels)
    return (None if whole <= room else max(least, room) - GAP), [range(p.start + 1, p.stop + 1) for p in panels]


def length(found: Grid, label: float | None, panels: Sequence[range]) -> int:
    """About how many lines the panels have below each other."""
    labels = [row.words[0] for block in found.blocks for row in block.rows]
    lines = len(labels) if label is None else sum(ceil(1.2 * em(text) / label) for text in labels)
    return len(panels) * (lines + len(found.blocks) + 3)


def on_one_page(found: Grid, label: float | None, panels: Sequence[range], titled: str) -> list[str]:
    """A float as wide as both columns of a paper that has two; its panels stand below each other."""
    lines = [
        r"% \usepackage{array,booktabs}",
        r"\begin{table*}[tbp]",
        r"\centering\footnotesize",
        titled,
        r"\smallskip",
        SPACING,
        "",
    ]
    for panel in panels:
        lines += [rf"\begin{{tabular}}{{{columns(label, panel)}}}", r"\toprule", *header(found, panel)]
        lines += [r"\midrule", *body(found, panel), r"\bottomrule", r"\end{tabular}", "", r"\medskip", ""]
    return [*lines[:-2], r"\end{table*}"]


def over_pages(found: Grid, label: float | None, panels: Sequence[range], titled: str) -> list[str]:
    """Tables that go on over several pages, one a panel, under one number."""
    lines = [
        r"% \usepackage{array,booktabs,longtable}",
        "% In a paper of two columns: between \\onecolumn and \\twocolumn.",
    ]
    lines += [r"\begingroup", r"\footnotesize", SPACING, r"\setlength{\LTcapwidth}{\textwidth}"]
    for number, panel in enumerate(panels):
        again = rf"\multicolumn{{{len(panel) + 1}}}{{@{{}}l}}{{\emph{{continued}}}} \\"
        first = again if number else rf"{titled} \\"
        lines += [r"\addtocounter{table}{-1}"] if number else []
        lines.append(rf"\begin{{longtable}}{{{columns(label, panel)}}}")
        for above, end in ((first, r"\endfirsthead"), (again, r"\endhead")):
            lines += [above, r"\toprule", *header(found, panel), r"\midrule", end]
        lines += [r"\bottomrule", r"\endfoot", *body(found, panel), r"\end{longtable}"]
    return [*lines, r"\endgroup"]


def columns(label: float | None, panel: range) -> str:
    first = "l" if label is None else rf">{{\raggedright\arraybackslash}}p{{{label:.1f}em}}"
    return f"@{{}}{first}{'r' * len(panel)}@{{}}"


def header(found: Grid, panel: range) -> list[str]:
    """The headings, each in as many lines as its column is narrow."""
    rows = [row.words for block in found.blocks for row in block.rows]
    cells = [[found.headings[0]]]
    for place in panel:
        heading = found.headings[place]
        cells.append(
            wrap(heading, max(map(len, [*heading.split(), *(words[place] for words in rows)]), default=1)) or [""]
        )
    most = max(map(len, cells))
    padded = [[""] * (most - len(lines)) + lines for lines in cells]
    return [" & ".join(map(escape, line)) + r" \\" for line in zip(*padded, strict=True)]


def body(found: Grid, panel: range) -> list[str]:
    """The rows, section by section, a rule between two."""
    lines = []
    for number, block in enumerate(found.blocks):
        heading = rf"\multicolumn{{{len(panel) + 1}}}{{@{{}}l@{{}}}}{{\emph{{{escape(block.heading)}}}}} \\*"
        lines += [r"\midrule"] if number else []
        lines += [heading] if found.sections is not None else []
        lines += [
            " & ".join([escape(row.words[0]), *(figures(row.words[place]) for place in panel)]) + r" \\"
            for row in block.rows
        ]
    return lines
