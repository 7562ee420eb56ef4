"""Scatter plots as SVG, for pages that load nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
"""Told apart by colour-blind readers (Okabe & Ito 2008); the shape changes as well, so print in grey works too."""

SHAPES = ("circle", "square", "triangle", "diamond")
WIDTH, HEIGHT = 300, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 26, 38  # margins


@dataclass(frozen=True)
class Point:
    """`x`, `y` in the units of the axes; `kind` numbers colour and shape; `text` appears under the pointer."""

    x: float
    y: float
    kind: int
    text: str


def mark(kind: int, x: float, y: float, size: float = 5) -> str:
    """The SVG of one mark at pixel (x, y). The first 28 kinds differ in colour or shape, neighbours in both."""
    cycle, number = divmod(kind, len(COLOURS))
    style = f'fill="{COLOURS[number]}" fill-opacity=".85" stroke="var(--paper)" stroke-width="1"'
    shape = SHAPES[(number + cycle) % len(SHAPES)]
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" {style}/>'
    if shape == "square":
        return f'<rect x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size}" height="{2 * size}" {style}/>'
    up, side = (1.25 * size, 1.15 * size)
    corners = {
        "triangle": [(x, y - up), (x + side, y + size), (x - side, y + size)],
        "diamond": [(x, y - up), (x + up, y), (x, y + up), (x - up, y)],
    }[shape]
    return f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}" {style}/>'


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that cover [low, high]."""
    span = max(high - low, 1e-9)
    step = next(s * 10**e for e in range(-6, 9) for s in (1, 2, 5) if span / (s * 10**e) <= wanted)
    first, last = int(low // step), int(-(-high // step))
    return [round(k * step, 10) for k in range(first, last + 1)]


def scatter(
    title: str, points: Sequence[Point], x_title: str, y_title: str, x_ticks: list[float], y_ticks: list[float]
) -> str:
    """One panel; the ticks span its axes, so that panels side by side can share them."""
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(value: float) -> float:
        return LEFT + plot_width * (value - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])

    def down(value: float) -> float:
        return TOP + plot_height * (1 - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {x_title}, {y_title}")}">']
    parts.append(f'<text x="{LEFT}" y="16" class="t">{escape(title)}</text>')
    for value in y_ticks:
        y = down(value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="g"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in x_ticks:
        x = across(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="g"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{value:g}</text>')
    middle = LEFT + plot_width / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>')
    turned = f'transform="translate(12 {TOP + plot_height / 2}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {turned}>{escape(y_title)}</text>")
    for point in points:
        drawn = mark(point.kind, across(point.x), down(point.y))
        parts.append(f'<g data-kind="{point.kind}"><title>{escape(point.text)}</title>{drawn}</g>')
    return "\n".join([*parts, "</svg>"])
