"""Which values an option may have: an interval, declared once beside its field, and what holds for all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from nba_cli.errors import Refused

WIDE = 1e6  # a bound from here on is there against overflow; who is far from it need not know


def only(default: Any, *stages: str) -> Any:
    """An option that is part of the run names of these stages alone."""
    return field(default=default, metadata={"stages": stages})


def unnamed(default: Any) -> Any:
    """An option left out of run names because what it leads to is in them: a file's content, the resolved precision."""
    return field(default=default, metadata={"stages": ()})


def idle(default: Any) -> Any:
    """An option that changes no figure. Runs that differ in it alone are the same run."""
    return field(default=default, metadata={"stages": (), "idle": True})


def seed(*stages: str) -> Any:
    """A seed, 0 by default. Runs that differ in seeds alone are repetitions; `stages` as in `only`, none: all."""
    return field(default=0, metadata={"seed": True} | ({"stages": stages} if stages else {}))


@dataclass(frozen=True)
class Interval:
    """The numbers that an option may be: `text` as in mathematics, such as "(0,1]" or "[1,inf)"."""

    text: str

    @property
    def bounds(self) -> tuple[float, float]:
        low, high = self.text[1:-1].split(",")
        return float(low), float(high)

    def __contains__(self, number: float) -> bool:
        low, high = self.bounds
        above = low < number if self.text[0] == "(" else low <= number
        return above and (number < high if self.text[-1] == ")" else number <= high)

    def words(self, number: float) -> str:
        """What a number outside of it would have to be."""
        low, high = self.bounds
        if high < WIDE:
            return f"must lie in {self.text}"
        if number > low:
            return f"must be at most {high:g}"
        return f"must be above {low:g}" if self.text[0] == "(" else f"must be {low:g} or more"


def within(default: Any, interval: str) -> Any:
    """A number, or a list of numbers, that lies in an interval; null where its type allows it."""
    about = {"interval": Interval(interval)}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=about)
    return field(default=default, metadata=about)


def check(part: Any, group: str = "") -> None:
    """Check the options of a part that are declared to lie `within` an interval; `group` is their path.

    Raises:
        Refused: one does not; names it.
    """
    for option in fields(part):
        interval, value = option.metadata.get("interval"), getattr(part, option.name)
        for number in value if isinstance(value, list) else [value]:
            if interval is not None and number is not None and number not in interval:
                path = f"{group}.{option.name}" if group else option.name
                raise Refused(f"{path}={str(value).removesuffix('.0')}: {interval.words(number)}.")


LARGEST = 3e38  # of a number with a fraction: fp32 holds no larger one
NAME, PATH = 255, 4096  # bytes of a file's name, of a path


def check_number(given: str, number: float) -> None:
    """Check what holds for every number of every option; `given` is what the user wrote.

    Raises:
        Refused: it is not finite, or so large that no tensor holds it.
    """
    if isinstance(number, float) and not math.isfinite(number):
        raise Refused(f"{given}: a number has to be finite.")
    if isinstance(number, float) and abs(number) > LARGEST:
        raise Refused(f"{given}: must lie between -3e38 and 3e38.")
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        raise Refused(f"{given}: an integer must lie between -2^63 and 2^63 - 1.")


def check_text(where: str, text: str) -> None:
    """Check what holds for every text of every option: names and paths.

    Raises:
        Refused: it is empty, no text, or longer than the name of a file may be.
    """
    if not text:
        raise Refused(f"{where}=: nothing is given. Leave the option out, or give it a value.")
    shown = f"{where}={text[:40]}{'…' if len(text) > 40 else ''}"
    try:
        parts = [len(part.encode()) for part in text.split("/")]
    except UnicodeEncodeError as error:
        raise Refused(f"{shown.encode(errors='replace').decode()}: not text in UTF-8.") from error
    if "\0" in text:
        raise Refused(f"{shown.replace(chr(0), '?')}: no name holds a byte of 0.")
    if max(parts) > NAME or sum(parts) + len(parts) > PATH:
        raise Refused(f"{shown}: a name has {NAME} bytes at most, a path {PATH:,}.")
