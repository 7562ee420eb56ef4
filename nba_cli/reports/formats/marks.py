"""The marks of charts: colours and shapes, each of which alone tells neighbours apart."""

from __future__ import annotations

import math

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7F7F7F",
    "#7800FF",
    "#A51E78",
    "#8778FF",
    "#695A00",
    "#FF2D69",
    "#96B487",
    "#D2003C",
    "#D200C3",
    "#D2A55A",
    "#692DD2",
    "#A51E4B",
    "#69A5FF",
    "#3CB4C3",
    "#696996",
    "#C3A5A5",
    "#78784B",
    "#5A961E",
    "#785AFF",
)
"""The first seven are those of Okabe & Ito 2008, for colour-blind readers. Each of the others was chosen as far as
possible from those before it, as seen with and without colour blindness, and visible on white and on black."""


def star(tips: int, inner: float) -> list[tuple[float, float]]:
    """The corners of a star whose tips lie on the unit circle; the first one points up."""
    turns = [math.pi * k / tips for k in range(2 * tips)]
    return [
        ((1 if k % 2 == 0 else inner) * math.sin(turn), -(1 if k % 2 == 0 else inner) * math.cos(turn))
        for k, turn in enumerate(turns)
    ]


ARM = 0.45  # half the width of a cross's arms
SHAPES: dict[str, list[tuple[float, float]]] = {
    "circle": [],
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "triangle": [(0, -1.25), (1.15, 1), (-1.15, 1)],
    "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    "nabla": [(0, 1.25), (1.15, -1), (-1.15, -1)],
    "cross": [
        (-ARM, -1.2), (ARM, -1.2), (ARM, -ARM), (1.2, -ARM), (1.2, ARM), (ARM, ARM),
        (ARM, 1.2), (-ARM, 1.2), (-ARM, ARM), (-1.2, ARM), (-1.2, -ARM), (-ARM, -ARM),
    ],
    "star": [(1.5 * x, 1.5 * y) for x, y in star(5, inner=0.45)],
}  # fmt: skip
"""Name of a shape -> its corners in units of its size; a circle has none."""


def colour_of(kind: int) -> str:
    return COLOURS[kind % len(COLOURS)]


def mark(kind: int, x: float, y: float, *, size: float = 5, hollow: bool = False) -> str:
    """The SVG of one mark at pixel (x, y).

    The first 25 kinds have a colour each, the first 175 differ in colour or shape: the numbers of both share no factor.
    """
    colour, corners = colour_of(kind), list(SHAPES.values())[kind % len(SHAPES)]
    if hollow:  # it has a fill that is not seen, so that the pointer finds it
        style = f'fill="{colour}" fill-opacity="0" stroke="{colour}" stroke-width="1.5"'
    else:
        style = f'fill="{colour}" stroke="var(--paper)" stroke-width=".8"'
    if not corners:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{1.1 * size:.1f}" {style}/>'
    return f'<polygon points="{" ".join(f"{x + size * a:.1f},{y + size * b:.1f}" for a, b in corners)}" {style}/>'
