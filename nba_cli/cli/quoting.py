"""Values that Hydra's grammar has no word for, such as paths with letters beyond ASCII, are quoted for it."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from nba_cli.cli.words import is_setting

PLAIN = re.compile(r"[+~]*[\w./@-]+=[\w./,:+-]*", re.ASCII)  # words that need no second look
BRACKETS = re.compile(r"[][(){}'\"]")


def quoted(words: Sequence[str], places: Container[str] = ()) -> list[str]:
    """The words of a command line; those values that cannot be parsed as they stand have quotes around them.

    Where several values are given, each is looked at by itself. Those of the options that name `places`, files and
    folders, are paths: 2024_05_01 is no number there, and ~ is the home folder.
    """
    return [readable(word, places) if is_setting(word) else word for word in words]


def readable(word: str, places: Container[str]) -> str:
    """The setting as Hydra can read it; as it stands if quotes do not help."""
    name, equals, value = word.partition("=")
    place = name.lstrip("+~") in places
    if PLAIN.fullmatch(word) and not place:
        return word
    parts = [value] if BRACKETS.search(value) else value.split(",")
    if place:
        parts = [os.path.expanduser(part) for part in parts]
    made = name + equals + ",".join(part if stays(name, part, place) else in_quotes(part) for part in parts)
    return made if parses(made) and (place or not parses(word)) else word


def stays(name: str, part: str, place: bool) -> bool:
    """Whether Hydra reads a value as it is written: a `place` that looks like a number is written anew."""
    try:
        value = parsed(f"{name}={part}").value()
    except HydraException:
        return False
    return not (place and isinstance(value, (int, float)))


def in_quotes(value: str) -> str:
    return QuotedString(text=value, quote=Quote.single).with_quotes()


def parses(word: str) -> bool:
    try:
        parsed(word)
    except HydraException:
        return False
    return True


def parsed(word: str) -> Override:
    return OverridesParser.create().parse_override(word)
