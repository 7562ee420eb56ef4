"""Values that Hydra's grammar has no word for, such as paths with letters beyond ASCII, are quoted for it."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from nba_cli.cli.words import is_setting

PLAIN = re.compile(r"[+~]*[\w./@-]+=[\w./,:+-]*", re.ASCII)  # words that need no second look
BRACKETS = re.compile(r"[][(){}'\"]")


def quoted(words: Sequence[str], places: Container[str] = ()) -> list[str]:
    """The words of a command line; those values that cannot be parsed as they stand have quotes around them.

    Where several values are given, each is looked at by itself. Those of the options that name `places`, files and
    folders, are paths: 2024_05_01 is no number there, and ~ is the home folder.
    """
    return [readable(word, is_place(word, places)) if is_setting(word) else word for word in words]


def is_place(word: str, places: Container[str]) -> bool:
    return word.partition("=")[0].lstrip("+~") in places


def readable(word: str, place: bool) -> str:
    """The setting as Hydra can read it; as it stands if quotes do not help."""
    if PLAIN.fullmatch(word) and not place:
        return word
    name, equals, value = word.partition("=")
    parts = [value] if BRACKETS.search(value) else value.split(",")
    if place:
        parts = [os.path.expanduser(part) for part in parts]
    made = name + equals + ",".join(part if stays(name, part, place) else in_quotes(part) for part in parts)
    return made if parses(made) and (place or not parses(word)) else word


def stays(name: str, part: str, place: bool) -> bool:
    """Whether Hydra reads a value as it is written."""
    return parses(f"{name}={part}") and not (place and is_number(f"{name}={part}"))


def is_number(word: str) -> bool:
    return isinstance(OverridesParser.create().parse_override(word).value(), (int, float))


def in_quotes(value: str) -> str:
    return QuotedString(text=value, quote=Quote.single).with_quotes()


def parses(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True
