"""Expected failures: one clear line (what, where, what would be right) and exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MANY = 40
"""More choices than this are not read one by one."""


class Refused(Exception):
    """Bad input. The message is shown to the user as it is, on one line, without a traceback."""


@contextmanager
def given_as(option: str, place: object) -> Iterator[None]:
    """Let a refusal of `place`, a file or folder, or of a file in it, begin with the option=value that led there.

    The place itself is not said twice.
    """
    try:
        yield
    except Refused as error:
        said = str(error)
        if not said.startswith(tuple(f"{place}{after}" for after in (":", " ", ",", "/"))):
            raise
        if option.endswith(f"={place}"):
            said = said.removeprefix(f"{place}: ")
        raise Refused(f"{option}: {said}") from error


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A suggestion to append to a message: the nearest choice, or all of them when nothing is near.

    Of many, options such as train.lr are named by their heads.
    """
    choices = sorted(choices)
    near = difflib.get_close_matches(word, choices, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    if len(choices) > MANY:
        parted = [each.partition(".") for each in choices]
        named = (f"{head}.…" if dot and head.isidentifier() else head + dot + leaf for head, dot, leaf in parted)
        choices = dict.fromkeys(named)
    return f"Choose from: {', '.join(choices)}." if choices else ""
