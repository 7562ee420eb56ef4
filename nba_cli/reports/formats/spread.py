"""Marks that would cover one another, set apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

Place = tuple[float, float]
"""(x, y) in pixels."""

RINGS = 5  # around its own place, where one is looked for


def apart(places: Sequence[Place], near: float, corner: Place, opposite: Place) -> list[Place]:
    """Where to draw each mark so that any two are `near` pixels from each other, within the given corners.

    The first to come has its own place, the next ones the nearest free one. A mark whose surroundings are full has its
    own place too, so the work grows with the number of marks and not faster.
    """
    taken: dict[tuple[int, int], list[Place]] = {}

    def is_free(place: Place) -> bool:
        column, row = cell(place, near)
        beside = [(column + dx, row + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        return all(math.dist(place, other) >= near for each in beside for other in taken.get(each, []))

    def is_inside(place: Place) -> bool:
        return all(low <= value <= high for low, value, high in zip(corner, place, opposite, strict=True))

    found = []
    for own in places:
        around = (place for place in surroundings(own, near) if is_inside(place) and is_free(place))
        place = own if is_free(own) else next(around, None)
        if place is not None:
            taken.setdefault(cell(place, near), []).append(place)
        found.append(place or own)
    return found


def cell(place: Place, width: float) -> tuple[int, int]:
    return int(place[0] // width), int(place[1] // width)


def surroundings(place: Place, near: float) -> Iterator[Place]:
    """Places on rings around one, the nearest first."""
    for ring in (1 + k / 2 for k in range(2 * RINGS - 1)):
        number = int(8 * ring)
        for turn in (2 * math.pi * (k + 0.5) / number for k in range(number)):
            yield (place[0] + ring * near * math.cos(turn), place[1] + ring * near * math.sin(turn))
