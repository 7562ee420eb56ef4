"""A report as the words that every format shows: a list of sections, or a matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nba_cli.reports.formats.layout import BEST, MISSING, STARRED, UNITS, WITHIN, Layout, cell, gap, number, title
from nba_cli.reports.published import Published
from nba_cli.reports.report import Line, Report, Section, is_share

APART = " / "  # between the figures of one cell of a matrix
WITHIN_SEEDS = "Averages are taken within a seed first: their n counts seeds."


@dataclass(frozen=True)
class Row:
    """A label and its cells. `kind`: "published", "missing", "average", or "" for figures of our own runs."""

    words: list[str]
    kind: str = ""


@dataclass(frozen=True)
class Block:
    """The rows of one section. `over`: of an average, how many sections it is taken over; else 0."""

    label: str
    rows: list[Row]
    over: int = 0

    @property
    def heading(self) -> str:
        """The label with what it is an average of, for formats that show it above the rows."""
        return f"{self.label} of {self.over}" if self.over else self.label


@dataclass(frozen=True)
class Grid:
    """Fields:
    sections: what the blocks stand for; None where there is a single one without a heading
    headings: of the label and of every column
    blocks: the rows, section by section
    notes: what a reader has to know beyond the headings
    """

    sections: str | None
    headings: list[str]
    blocks: list[Block]
    notes: list[str] = field(default_factory=list)


def grid(report: Report, layout: Layout) -> Grid:
    """The report, arranged as it is asked for."""
    return ARRANGEMENTS[layout.arrangement](report, layout)


def legend(found: Grid) -> str:
    """What the figures are: mean, standard deviation and star, as far as there are such."""
    words = [word for block in found.blocks for row in block.rows for word in row.words[1:]]
    said = UNITS("mean ± standard deviation" if any(WITHIN in word for word in words) else "mean")
    return f"{said} {STARRED}" if any(BEST in word for word in words) else said


def remarks(report: Report, layout: Layout, found: Grid) -> list[str]:
    """What stands around the table that `found` is."""
    return [text for text in (layout.origin, legend(found), *found.notes, *report.notes) if text]


def listed(report: Report, layout: Layout) -> Grid:
    """A block for each section, and one of the averages; a column for each figure and each difference."""
    differences = [f"Δ {title(figure)} to {report.against}" for figure in compared(report)]
    headings = [" ".join(report.rows), "n", *(title(figure) for figure in report.figures), *differences]
    blocks = []
    for section in with_averages(report):
        rows = []
        for line in section.lines:
            rows.append(row_of(report, layout, line, "average" if section.over else ""))
            others = layout.published.get((section.label, line.label), [])
            rows += [published_row(report, other) for other in others]
        blocks.append(Block(section.label, rows, section.over))
    return Grid(" ".join(report.cols), headings, blocks, [WITHIN_SEEDS] if report.averages else [])


def with_averages(report: Report) -> list[Section]:
    return [*report.sections, *([report.averages] if report.averages else [])]


def compared(report: Report) -> list[str]:
    """The figures whose difference to the chosen row is shown."""
    return [figure for figure in report.figures if is_share(figure) and figure != "der"] if report.against else []


def row_of(report: Report, layout: Layout, line: Line, kind: str) -> Row:
    if not line.records:
        gaps = [""] * len(compared(report))
        return Row([line.label, "0", *([MISSING] * len(report.figures)), *gaps], "missing")
    cells = [cell(figure, line.cells.get(figure), spread=layout.spread) for figure in report.figures]
    gaps = [
        gap(figure, line.cells[figure].difference, line.n) if figure in line.cells else ""
        for figure in compared(report)
    ]
    return Row([line.label, str(line.n), *cells, *gaps], kind)


def published_row(report: Report, row: Published) -> Row:
    cells = [number(figure, row.figures[figure]) if figure in row.figures else "—" for figure in report.figures]
    return Row([f"({row.defense}) {row.label}", "—", *cells, *([""] * len(compared(report)))], "published")


def matrix(report: Report, layout: Layout) -> Grid:
    """One block: a cell holds all figures of a line in a section."""
    sections = with_averages(report)
    most = max((line.n for section in sections for line in section.lines), default=0)
    cells = [[matrix_cell(report, layout, line, most) for line in section.lines] for section in sections]
    of_sections = [section.label for section in sections]
    of_lines = [line.label for line in sections[0].lines] if sections else []
    if layout.sections_down:
        kinds = ["average" if section.over else "" for section in sections]
        corner, across, down = report.cols, of_lines, of_sections
    else:
        kinds = [""] * len(of_lines)
        corner, across, down = report.rows, of_sections, of_lines
        cells = [list(column) for column in zip(*cells, strict=True)]
    rows = [Row([label, *words], kind) for label, words, kind in zip(down, cells, kinds, strict=True)]
    shown = APART.join(title(figure) for figure in report.figures)
    notes = [f"Each cell: {shown}." + (f" n = {most}, unless a cell says another." if most else "")]
    if report.averages:
        number = report.averages.over
        notes.append(f"The average is taken over {number} {values(report.cols)}. {WITHIN_SEEDS}")
    return Grid(None, [" ".join(corner), *across], [Block("", rows)], notes)


def values(names: list[str]) -> str:
    """What sections are that stand for these settings: attacks, values of attack.rate, combinations of …"""
    if len(names) > 1:
        return f"combinations of {' and '.join(names)}"
    return f"{names[0]}s" if names[0].isalpha() else f"values of {names[0]}"


def matrix_cell(report: Report, layout: Layout, line: Line, most: int) -> str:
    """The figures of a line, and its n where it is not that of most others."""
    if not line.cells:
        return "—" if line.records else MISSING
    words = [cell(figure, line.cells.get(figure), spread=layout.spread) for figure in report.figures]
    return APART.join(words if line.n == most else [*words, f"n={line.n}"])


def parts_of(word: str) -> list[tuple[str, bool]]:
    """The figures of a cell, and whether each is starred as the best."""
    return [(part, part.endswith(BEST)) for part in word.split(APART)]


ARRANGEMENTS: dict[str, Callable[[Report, Layout], Grid]] = {"list": listed, "matrix": matrix}
"""What layout=… takes."""


def flat(found: Grid) -> tuple[list[str], list[Row]]:
    """The headings and rows of one table in which the section, and what an average is taken over, are columns."""
    if found.sections is None:
        return found.headings, [row for block in found.blocks for row in block.rows]
    averaged = any(block.over for block in found.blocks)
    rows = [
        Row([block.label, *row.words, *([str(block.over or "")] if averaged else [])], row.kind)
        for block in found.blocks
        for row in block.rows
    ]
    return [found.sections, *found.headings, *(["average of"] if averaged else [])], rows
