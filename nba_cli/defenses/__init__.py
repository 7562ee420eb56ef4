"""Defenses by name. A new one is a file, a YAML in conf/defense/ and a line here."""

from nba_cli.defenses.base import Defense, Evidence
from nba_cli.defenses.ft import FT
from nba_cli.defenses.nba import NBA
from nba_cli.defenses.none import NoDefense

DEFENSES: dict[str, type[Defense]] = {
    "none": NoDefense,
    "ft": FT,
    "nba": NBA,
}

__all__ = ["DEFENSES", "FT", "NBA", "Defense", "Evidence", "NoDefense"]
