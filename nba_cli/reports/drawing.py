"""Panels, lines and legends of plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nba_cli.reports.formats.marks import colour_of
from nba_cli.reports.significance import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure


STYLES = ("-", "--", "-.", ":")
MARKS = "os^DvP*"
WIDTH, HEIGHT = 3.6, 2.6  # of a panel, in inches
ENTRY, LETTER, HANDLE = 0.16, 0.06, 0.6  # in inches: height of a legend's line, width of its letters and of its marks


@dataclass(frozen=True)
class Row:
    """Panels side by side, or below each other if they are wide, and the legend below them.

    Fields:
        titles: one for each panel
        labels: what the legend explains
        width: of a panel in inches
    """

    titles: Sequence[str]
    labels: Sequence[str]
    width: float = WIDTH

    @property
    def shape(self) -> tuple[int, int]:
        """Panels below each other, panels side by side."""
        return (len(self.titles), 1) if self.width > WIDTH else (1, len(self.titles))

    @property
    def columns(self) -> int:
        """Of the legend."""
        room = HANDLE + LETTER * max(map(len, self.labels))
        return max(1, min(len(self.labels), int(self.width * self.shape[1] / room)))

    @property
    def height(self) -> float:
        return HEIGHT * self.shape[0] + ENTRY * (1 + math.ceil(len(self.labels) / self.columns))


def panels(rows: Sequence[Row]) -> list[tuple[SubFigure, list[Axes]]]:
    """A new figure; each row has its own axes and its own legend."""
    from matplotlib import pyplot

    width = max(row.width * row.shape[1] for row in rows)
    figure = pyplot.figure(figsize=(width, sum(row.height for row in rows)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=[row.height for row in rows])[:, 0]
    found = []
    for part, row in zip(parts, rows, strict=True):
        axes = list(part.subplots(*row.shape, squeeze=False, sharex=row.shape[0] > 1).flat)
        for each, name in zip(axes, row.titles, strict=True):
            each.set_title(name, fontsize=9, loc="left")
        found.append((part, axes))
    return found


def style(number: int, points: int = 1) -> dict[str, Any]:
    """Colour, dash and mark of a line: each alone tells it from its neighbours. Long lines have a mark now and then."""
    return {
        "color": colour_of(number),
        "linestyle": STYLES[number % len(STYLES)],
        "marker": MARKS[number % len(MARKS)],
        "markersize": 3.5,
        "markevery": max(1, points // 10),
        "linewidth": 1.4,
    }


def hollow(number: int, colour: str) -> dict[str, Any]:
    """A mark of somebody else's figures: its shape says whose, its colour beside what it stands."""
    shape = MARKS[number % len(MARKS)]
    return {"linestyle": "", "marker": shape, "markersize": 5, "markerfacecolor": "none", "color": colour}


def legend(part: SubFigure, axes: Axes, row: Row, heading: str | None = None) -> None:
    """Below the panels: beside or in them it would hide curves."""
    part.legend(
        *axes.get_legend_handles_labels(), loc="outside lower left", ncols=row.columns, fontsize=7, title=heading,
        title_fontsize=7, alignment="left",
    )  # fmt: skip


def words_below(axes: Axes, words: Sequence[str]) -> None:
    """Words on the horizontal axis at 0, 1, …, each with a strip of its own."""
    axes.set_xticks(range(len(words)), words, rotation=90 if len("".join(words)) > 30 else 0)
    axes.set_xlim(-0.5, len(words) - 0.5)
    axes.grid(visible=False, axis="x")
    for place in range(1, len(words), 2):
        axes.axvspan(place - 0.5, place + 0.5, color="#f3f3f3", linewidth=0, zorder=0)


def draw_interval(axes: Axes, found: dict[float, Summary], colour: str, *, joined: bool, share: bool) -> None:
    """One standard deviation around each mean; nothing where one victim has no spread.

    A band along what is `joined`; a bar where there is no neighbour that has a spread, too.
    """
    known = [each.std is not None for each in found.values()]
    low, high = band(list(found.values()), share)
    if joined:
        axes.fill_between(list(found), low, high, color=colour, alpha=0.18, linewidth=0)
    for k, (place, each) in enumerate(found.items()):
        beside = joined and any([*known[max(0, k - 1) : k], *known[k + 1 : k + 2]])
        if known[k] and not beside:
            sizes = [[each.mean - low[k]], [high[k] - each.mean]]
            axes.errorbar([place], [each.mean], sizes, color=colour, capsize=2, linewidth=1)


def band(found: Sequence[Summary], share: bool) -> tuple[list[float], list[float]]:
    """One standard deviation around each mean; NaN, which is not drawn, where one victim has no spread."""
    spread = [math.nan if each.std is None else each.std for each in found]
    low = [each.mean - width for each, width in zip(found, spread, strict=True)]
    high = [each.mean + width for each, width in zip(found, spread, strict=True)]
    if share:  # a comparison with NaN is false: NaN stays
        low, high = [0.0 if value < 0 else value for value in low], [100.0 if value > 100 else value for value in high]
    return low, high
