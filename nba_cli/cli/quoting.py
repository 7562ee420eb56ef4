"""Values that Hydra's grammar has no word for, such as paths with letters beyond ASCII, are quoted for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from nba_cli.cli.words import is_setting

PLAIN = re.compile(r"[+~]*[\w./@-]+=[\w./,:+-]*", re.ASCII)  # words that need no second look
BRACKETS = re.compile(r"[][(){}'\"]")


def quoted(words: Sequence[str]) -> list[str]:
    """The words of a command line; those values that cannot be parsed as they stand have quotes around them.

    Where several values are given, each is looked at by itself.
    """
    return [word if not is_setting(word) or PLAIN.fullmatch(word) else readable(word) for word in words]


def readable(word: str) -> str:
    """The setting as Hydra can read it; as it stands if quotes do not help."""
    name, equals, value = word.partition("=")
    parts = [value] if BRACKETS.search(value) else value.split(",")
    made = name + equals + ",".join(part if parses(f"{name}={part}") else in_quotes(part) for part in parts)
    return word if parses(word) or not parses(made) else made


def in_quotes(value: str) -> str:
    return QuotedString(text=value, quote=Quote.single).with_quotes()


def parses(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True
