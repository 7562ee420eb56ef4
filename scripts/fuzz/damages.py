"""How a file is damaged: each changes the bytes that it is given, at random."""

from __future__ import annotations

import random


def flipped(content: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def cut(content: bytearray, draw: random.Random) -> None:
    del content[draw.randrange(len(content)) :]


def overwritten(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    length = draw.randint(1, min(64, len(content) - start))
    content[start : start + length] = draw.randbytes(length)


def lost(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    del content[start : start + draw.randint(1, 64)]


def doubled(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    content[start:start] = content[start : start + draw.randint(1, 64)]


def replaced(content: bytearray, draw: random.Random) -> None:
    content[:] = draw.randbytes(draw.choice((0, 1, 10, 1000)))


def renumbered(content: bytearray, draw: random.Random) -> None:
    """Another digit in the place of one: what is text stays well-formed."""
    if digits := [place for place, byte in enumerate(content) if 48 <= byte <= 57]:
        content[draw.choice(digits)] = draw.choice(b"0123456789")


DAMAGES = (flipped, flipped, cut, overwritten, lost, doubled, replaced, renumbered)
