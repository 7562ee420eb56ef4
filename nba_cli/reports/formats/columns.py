"""How many columns fit beside each other: those that do not are stacked below, and no figure is cut."""

from __future__ import annotations

from collections.abc import Sequence


def stacked(widths: Sequence[float], room: float) -> list[range]:
    """The columns of each panel, from left to right: as few panels as fit the room, about as wide as each other."""
    panels = filled(widths, room)
    while True:
        widest = max(sum(widths[place] for place in panel) for panel in panels)
        narrower = filled(widths, widest - 1e-6)
        if len(narrower) > len(panels) or narrower == panels:
            return panels
        panels = narrower


def filled(widths: Sequence[float], room: float) -> list[range]:
    """Panels filled one after the other; each has one column or more, whatever its width."""
    panels: list[range] = []
    start, used = 0, 0.0
    for place, width in enumerate(widths):
        if place > start and used + width > room:
            panels.append(range(start, place))
            start, used = place, 0.0
        used += width
    return [*panels, range(start, len(widths))]
