"""The versions of parts in records. A change that alters results raises a part's version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNRECORDED = {
    "attack": {"inputaware": 2, "refool": 2},
    "defense": {"nad": 2, "argd": 2, "ibau": 3, "ftsam": 2, "nba": 2},
}
"""Versions that parts had when records did not name them; 1 for all others."""


def version_of(group: str, plain: Mapping[str, Any]) -> int:
    """The version of the part of `group` that these plain values describe."""
    return plain.get("version", UNRECORDED.get(group, {}).get(plain["kind"], 1))
