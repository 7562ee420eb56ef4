"""Scatter plots as SVG, for pages that load nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from nba_cli.reports.formats.marks import colour_of, mark
from nba_cli.reports.formats.spread import Place, apart

WIDTH, HEIGHT = 300, 240
WIDE = 400  # where one or two share a row: a narrower drawing would be enlarged, with its letters
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 38  # margins
SIZE = 4.2  # half the width of a mark
CROWD = 8  # beyond so many marks they are smaller, so that fewer of them would cover another,
LEAST = 2.0  # but no smaller than this
ROOTED = (0.0, 1.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0)  # percent, the ticks of a root axis
NEAR = 2.5  # two marks that are nearer, in units of their size, would cover each other


@dataclass(frozen=True)
class Point:
    """`x`, `y` in the units of the axes; `kind` numbers colour and shape; `text` appears under the pointer.

    A `hollow` mark is that of somebody else's figures.
    """

    x: float
    y: float
    kind: int
    text: str
    hollow: bool = False


@dataclass(frozen=True)
class Axis:
    """Fields:
    title: what stands beside it
    ticks: the values that it is marked at, the first and the last at its ends
    root: whether it grows by the square root, which sets small values apart that one line would cover
    """

    title: str
    ticks: list[float]
    root: bool = False

    def share(self, value: float) -> float:
        """How far along the axis a value stands, in [0,1] between its ends."""
        first, place, last = (
            math.sqrt(max(each, 0)) if self.root else each for each in (self.ticks[0], value, self.ticks[-1])
        )
        return (place - first) / (last - first)


def linear(title: str, values: Sequence[float]) -> Axis:
    """An axis over these values, with round numbers; at least one unit long, so that small differences look small."""
    low = min(values)
    return Axis(title, ticks(low, max(*values, low + 1)))


def rooted(title: str, values: Sequence[float]) -> Axis:
    """A root axis over these percentages, from 0."""
    found = next((number for number, tick in enumerate(ROOTED) if tick >= max(values)), len(ROOTED) - 1)
    return Axis(title, list(ROOTED[: max(found, 1) + 1]), root=True)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that cover [low, high]."""
    span = max(high - low, 1e-9)
    step = next(s * 10**e for e in range(-6, 9) for s in (1, 2, 5) if span / (s * 10**e) <= wanted)
    first, last = math.floor(round(low / step, 9)), math.ceil(round(high / step, 9))  # 80 / 0.2 is 400, and no less
    return [round(k * step, 10) for k in range(first, last + 1)]


def scatter(title: str, points: Sequence[Point], level: Axis, upright: Axis, width: int = WIDTH) -> str:
    """One panel; the axes are given, so that panels side by side can share them.

    A mark that would cover another is drawn beside its place, to which a line leads.
    """
    plot_width, plot_height = width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(value: float) -> float:
        return LEFT + plot_width * level.share(value)

    def down(value: float) -> float:
        return TOP + plot_height * (1 - upright.share(value))

    named = escape(f"{title}: {level.title}, {upright.title}")
    parts = [f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{named}">']
    parts.append(f'<text x="{LEFT}" y="16" class="t">{escape(title)}</text>')
    for value in upright.ticks:
        y = down(value)
        parts.append(f'<line x1="{LEFT}" x2="{width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="g"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in level.ticks:
        x = across(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="g"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{value:g}</text>')
    middle = LEFT + plot_width / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(level.title)}</text>')
    turned = f'transform="translate(12 {TOP + plot_height / 2}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {turned}>{escape(upright.title)}</text>")
    places = [(across(point.x), down(point.y)) for point in points]
    size = max(LEAST, SIZE * min(1.0, math.sqrt(CROWD / max(len(points), 1))))
    drawn = apart(places, NEAR * size, (LEFT, TOP), (width - RIGHT, HEIGHT - BOTTOM))
    parts += [leader(point, *ends) for point, *ends in zip(points, places, drawn, strict=True) if ends[0] != ends[1]]
    for point, place in zip(points, drawn, strict=True):
        shape = mark(point.kind, *place, size=size, hollow=point.hollow)
        parts.append(f'<g data-kind="{point.kind}"><title>{escape(point.text)}</title>{shape}</g>')
    return "\n".join([*parts, "</svg>"])


def leader(point: Point, place: Place, drawn: Place) -> str:
    """A line from where a mark is drawn to a dot at the place that it stands for."""
    (x, y), (far_x, far_y) = place, drawn
    colour = colour_of(point.kind)
    line = f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{far_x:.1f}" y2="{far_y:.1f}" stroke="{colour}" stroke-width="1.1"/>'
    return f'<g data-kind="{point.kind}">{line}<circle cx="{x:.1f}" cy="{y:.1f}" r="1.4" fill="{colour}"/></g>'
