"""A report for programs: CSV, a row a line of the table; JSON, a row a run. Both name things as compare=FILE does."""

from __future__ import annotations

import csv as writer
import io
import json as encoder
import math
import re
from typing import Any

from nba_cli.reports.formats.layout import Layout
from nba_cli.reports.published import COLUMNS
from nba_cli.reports.report import Cell, Line, Report, Section
from nba_cli.reports.rows import SOURCE, identity, in_units, rows

ABOUT = ("n", "options", "best", "runs")
CSV_MARK = ",".join([*COLUMNS, *ABOUT])  # a file that has one of these may be replaced
JSON_MARK = encoder.dumps({"source": SOURCE})[:-1] + ', "dataset": '
NO_RUNS = "[]\n"  # the whole of a JSON table without runs, which holds no mark
NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?")


def json(report: Report, layout: Layout) -> str:
    """The runs of the table, one a line; what is not finite is null, as JSON has no name for it."""
    lines = (encoder.dumps(dict(zip(row, map(finite, row.values()), strict=True))) for row in rows(report.records))
    return "[" + ",\n ".join(lines) + "]\n"


def finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def cell_of(value: object) -> object:
    """A value that a spreadsheet shows: it would compute a text that begins like a formula."""
    formula = isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@") and not NUMBER.fullmatch(value)
    return f"'{value}" if formula else value


def csv(report: Report, layout: Layout) -> str:
    """The lines of the table: means over n victims, unrounded, shares in percent; then what else is known of each.

    Columns:
        source, dataset, victim, attack, defense, poison_rate, acc, asr, ra: as compare=FILE reads them
        n: victims
        options: what else tells the line from others
        best: the figures in which it is better than every other defense
        runs: the folders behind it
        then rows= and cols= by their names, the other figures, and for each figure f: f_n and f_std, and with
            against= f_pairs, f_difference, f_low, f_high
    """
    found = [line_row(report, section, line) for section in report.sections for line in section.lines]
    columns = dict.fromkeys([*COLUMNS, *ABOUT, *(name for each in found for name in each)])
    text = io.StringIO()
    out = writer.DictWriter(text, columns, lineterminator="\n")
    out.writeheader()
    out.writerows({name: cell_of(value) for name, value in each.items()} for each in found)
    return text.getvalue()


def line_row(report: Report, section: Section, line: Line) -> dict[str, Any]:
    """One line of the table; of a line without runs, no more than what it would be."""
    axes = dict(zip(report.cols, section.key, strict=True)) | dict(zip(report.rows, line.key, strict=False))
    known = identity(line.records[0]) if line.records else {"source": SOURCE}
    about = {
        "n": line.n,
        "options": " ".join(line.key[len(report.rows) :]),
        "best": " ".join(figure for figure, cell in line.cells.items() if cell.best),
        "runs": " ".join(record.folder.name for record in line.records),
    }
    figures = {figure: in_units(figure, cell.summary.mean) for figure, cell in line.cells.items()}
    spread = {name: value for figure in line.cells for name, value in spread_of(figure, line.cells[figure]).items()}
    return axes | known | about | figures | spread


def spread_of(figure: str, cell: Cell) -> dict[str, Any]:
    """How many victims, how far apart, and the difference to the chosen row."""
    gap = cell.difference
    gaps = {"difference": gap.mean, "low": gap.low, "high": gap.high} if gap else {}
    pairs = {f"{figure}_pairs": gap.n} if gap else {}
    shares = {"std": cell.summary.std, **gaps}
    return (
        {f"{figure}_n": cell.summary.n}
        | pairs
        | {f"{figure}_{name}": in_units(figure, value) for name, value in shares.items()}
    )
