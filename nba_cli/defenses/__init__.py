"""Defenses by name. A new one is a file, a YAML in conf/defense/ and a line here."""

from nba_cli.defenses.anp import ANP
from nba_cli.defenses.argd import ARGD
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.defenses.clp import CLP
from nba_cli.defenses.fp import FP
from nba_cli.defenses.ft import FT, FTNAD, FTNBA
from nba_cli.defenses.ft_kd import FTKD
from nba_cli.defenses.ftsam import FTSAM
from nba_cli.defenses.ibau import IBAU
from nba_cli.defenses.mcr import MCR
from nba_cli.defenses.nad import NAD
from nba_cli.defenses.nba.nba import NBA
from nba_cli.defenses.none import NoDefense
from nba_cli.defenses.sau import SAU

DEFENSES: dict[str, type[Defense]] = {
    "none": NoDefense,
    "ft": FT,
    "ft_nad": FTNAD,
    "ft_nba": FTNBA,
    "ft_kd": FTKD,
    "fp": FP,
    "mcr": MCR,
    "nad": NAD,
    "anp": ANP,
    "argd": ARGD,
    "ibau": IBAU,
    "ftsam": FTSAM,
    "sau": SAU,
    "clp": CLP,
    "nba": NBA,
}

__all__ = [
    "ANP",
    "ARGD",
    "CLP",
    "DEFENSES",
    "FP",
    "FT",
    "FTKD",
    "FTNAD",
    "FTNBA",
    "FTSAM",
    "IBAU",
    "MCR",
    "NAD",
    "NBA",
    "SAU",
    "Defense",
    "Evidence",
    "NoDefense",
]
