"""The tables that a stage and a sweep end with. Shares become percent here and in `reports.rows`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from nba_cli.runs import reading, record
from nba_cli.runs.presets import beyond, called
from nba_cli.runs.record import Record

Row = tuple[str, dict, float | None]
"""(title, figures of metrics.measure, seconds)."""


def percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.2f}"


def figures(rows: Sequence[Row], der: float | None = None) -> Table:
    """One line a row: ACC, ASR, RA in percent, seconds; DER, if there is one, on the last line."""
    table = Table(box=None, padding=(0, 2), header_style="bold")
    table.add_column("")
    for title in FIGURES:
        if title != "DER" or der is not None:
            table.add_column(title, justify="right")
    for number, (title, shares, seconds) in enumerate(rows):
        last = der is not None and number == len(rows) - 1
        table.add_row(
            title,
            *(percent(shares[key]) for key in ("acc", "asr", "ra")),
            *([percent(der) if last else ""] if der is not None else []),
            "" if seconds is None else f"{seconds:.1f}",
            style="bold" if last else None,
        )
    return table


FIGURES = ("ACC", "ASR", "RA", "DER", "seconds")
HEADINGS = ("dataset", "victim", "attack", "seed", "defense", *FIGURES)


def cells(finished: Iterable[Record]) -> list[tuple[str, ...]]:
    """A line of text a finished run, under HEADINGS; a victim has "(attack)" in the defense column."""
    lines = []
    for found in finished:
        settings = found.settings
        lines.append(
            (
                *(record.to_text(settings.get(part, "—")) for part in ("dataset", "victim")),
                called(found, "attack") if "attack" in settings else "—",
                record.to_text(settings.get("seed", "—")),
                called(found, "defense") if "defense" in settings else f"({settings['stage']})",
                *(percent(found.figure(key)) for key in ("acc", "asr", "ra", "der")),
                "—" if (seconds := found.figure("seconds")) is None else f"{seconds:.1f}",
            )
        )
    return lines


def side_by_side(folders: Iterable[Path]) -> Table:
    """The runs of a sweep side by side, for the terminal. Columns with one value throughout are left out.

    What else was varied stands in the last one.
    """
    found = reading.read(folders)
    lines = cells(found)
    kinds = ("stage", "dataset", "victim", "attack", "defense")
    told = [beyond(each, record.distinguishing(each, found, kinds)) for each in found]
    varied = [
        " ".join(f"{name}={record.to_text(value)}" for name, value in each.items() if name not in HEADINGS)
        for each in told
    ]
    table = Table(title="side by side", title_justify="left", box=None, padding=(0, 1), header_style="bold")
    shown = [
        i for i, heading in enumerate(HEADINGS) if i >= 4 or len({line[i] for line in lines}) > 1 or heading == "attack"
    ]
    for i in shown:
        if HEADINGS[i] in FIGURES:  # they stay whole; in a narrow terminal the words beside them go on below
            whole = max([len(HEADINGS[i]), *(len(line[i]) for line in lines)])
            table.add_column(HEADINGS[i], justify="right", no_wrap=True, min_width=whole)
        else:
            table.add_column(HEADINGS[i], overflow="fold")
    if any(varied):
        table.add_column("varied", overflow="fold")
    for line, more in zip(lines, varied, strict=True):
        words = [*(line[i] for i in shown), *([more] if any(varied) else [])]
        table.add_row(*map(Text, words))  # a list such as [response] would be read as markup
    return table
