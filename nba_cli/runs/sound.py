"""Whether a record is as it was written, and what every record has."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from nba_cli import files

SCHEMA = 1  # of metrics.json; README documents it
FIGURES = ("acc", "asr", "ra")
PARTS = {"stage": str, "precision": str} | dict.fromkeys(("settings", "figures", "counts", "seconds", "made"), dict)


def with_seal(record: dict[str, Any]) -> dict[str, Any]:
    """A record and the seal of all that it says, but for the places of files: runs that are moved stay whole."""
    own = {name: value for name, value in record.items() if name != files.SEAL}
    return own | {files.SEAL: files.seal(placeless(own))}


def placeless(record: dict[str, Any]) -> dict[str, Any]:
    found = without(record, "victim", "model")
    settings = without(found.get("settings", {}), "output", "victims", "weights", "trigger")
    if isinstance(dataset := settings.get("dataset"), dict):
        settings["dataset"] = without(dataset, "path", "root")
    return found | {"settings": settings}


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def fault(found: Any) -> str | None:
    """What is wrong with what stands in a metrics.json; None: nothing. Older records have no seal and are believed."""
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        schema = found.get("schema") if isinstance(found, dict) else None
        return f"its schema is {schema!r:.40}; this version reads {SCHEMA}"
    if lacking := [name for name, form in PARTS.items() if not isinstance(found.get(name), form)]:
        return f"it lacks {', '.join(lacking)}"
    figures = found["figures"]
    if lacking := [name for name in FIGURES if name not in figures]:
        return f"its figures lack {', '.join(lacking)}"
    if wrong := [name for name in FIGURES if not is_share(figures[name])]:
        return f"its figures {', '.join(wrong)} are no shares"
    if files.SEAL in found and with_seal(found)[files.SEAL] != found[files.SEAL]:
        return "it has changed since it was written"
    strange = [text for text in texts(found) if not text.isprintable()]
    if any(unicodedata.category(letter) in ("Cc", "Cs") for text in strange for letter in text):
        return "it holds control characters, which would command the terminal"
    return None


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def is_share(value: Any) -> bool:
    """Whether it is a share, or None for what was not measured."""
    return value is None or (is_number(value) and 0 <= value <= 1)


def texts(value: Any) -> Iterator[str]:
    """Every text in nested plain values, keys too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def flatten(value: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested dicts -> (dotted path, value)."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from flatten(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner
