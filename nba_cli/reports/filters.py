"""`option=value` words of `nba table` and `nba plot`."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nba_cli import domains
from nba_cli.console import LOG
from nba_cli.errors import Refused, did_you_mean
from nba_cli.runs.record import Record, setting_names, text_of

NAMES = ("file", "output", "compare")  # options that name a file


def parse_words(
    command: str, words: Iterable[str], known: Container[str]
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """`option=value` words of a command -> (its options, the settings to filter by).

    Raises:
        Refused: a word without "=", or without a value, or with one that is no name.
    """
    given: dict[str, str] = {}
    filters: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Refused(f"nba {command} {word}: options are written option=value. nba {command} --help lists them.")
        domains.check_text(name, value, is_name=name in NAMES)
        if name in known:
            given[name] = os.path.expanduser(value) if name in NAMES else value
        else:
            filters[name] = [value] if value.startswith("[") else value.split(",")
    return given, filters


def is_among(value: str, wanted: Sequence[str]) -> bool:
    """Whether a setting is one of those asked for: as text, or as a number (20 is 20.0, 1e-5 is 1e-05)."""
    number = as_number(value)
    return value in wanted or (number is not None and number in map(as_number, wanted))


def as_number(value: str) -> float | None:
    """The number that a word is, if it is one."""
    try:
        return float(value)
    except ValueError:
        return None


def matches(settings: Mapping[str, Any], filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether each setting that is filtered by has one of the values asked for."""
    return all(is_among(text_of(settings, name), wanted) for name, wanted in filters.items())


def values_of(name: str, found: Sequence[Record]) -> set[str]:
    """The values of a setting among the records, as text."""
    return {text_of(each.settings, name) for each in found}


def has_one(known: Iterable[str], wanted: Sequence[str]) -> bool:
    return any(is_among(value, wanted) for value in known)


def near(word: str, known: Iterable[str]) -> str:
    """What may have been meant; no number is a misspelling."""
    return did_you_mean(word if as_number(word) is None else "", known)


def why_none(output: Path, found: Sequence[Record], filters: Mapping[str, Sequence[str]]) -> str:
    """What to say where no run in `output` matches the filters: the first of them that none of those `found` meets."""
    stages = " and ".join(dict.fromkeys(each.get("stage") for each in found))
    for name, wanted in filters.items():
        known = values_of(name, found)
        if known and not has_one(known, wanted):
            said = f"{name}={','.join(wanted)}: no finished {stages} run in output={output} has it."
            return f"{said} {near(wanted[0], known)}"
    return f"output={output}: no finished run that fits. nba status output={output} lists what is there."


def select(command: str, found: list[Record], filters: Mapping[str, Sequence[str]], own: Iterable[str]) -> list[Record]:
    """The records whose settings match the filters; a warning tells of a value that none has.

    Raises:
        Refused: a filter that is a setting of none of them; the command's `own` options are suggested too.
    """
    known = setting_names(found)
    for name in filters:
        if found and name not in known:
            meant = did_you_mean(name, known | set(own))
            raise Refused(f"{name}: no option of nba {command}, and no setting of these runs. {meant}")
    fitting = [each for each in found if matches(each.settings, filters)]
    for name, wanted in filters.items() if fitting else ():
        known = values_of(name, found)
        for word in wanted:
            if not has_one(known, [word]):
                LOG.warning(f"{name}={word}: no finished run has it. {near(word, known)}")
    return fitting
