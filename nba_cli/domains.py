"""Which values an option may have: an interval, declared once beside its field, and what holds for all of them."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, field, fields
from typing import Any

from nba_cli.errors import Refused

WIDE = 1e6  # a bound from here on is there against overflow; who is far from it need not know


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
        if not math.isfinite(number):
            return "must be finite"
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


def check_text(where: str, text: str, is_name: bool = True) -> None:
    """Check what holds for every text of every option; for a name or a path, also that a file may be called so.

    Raises:
        Refused: it is no text, or has control characters, which a record must not hold; a name is empty or too long.
    """
    if is_name and not text:
        raise Refused(f"{where}=: nothing is given. Leave the option out, or give it a value.")
    shown = f"{where}={text[:40]}{'…' if len(text) > 40 else ''}"
    try:
        parts = [len(part.encode()) for part in text.split("/")]
    except UnicodeEncodeError as error:
        raise Refused(f"{shown.encode(errors='replace').decode()}: not text in UTF-8.") from error
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise Refused(f"{ascii(shown)[1:-1]}: there is a control character in it.")
    if is_name and (max(parts) > NAME or sum(parts) + len(parts) > PATH):
        raise Refused(f"{shown}: a name has {NAME} bytes at most, a path {PATH:,}.")
