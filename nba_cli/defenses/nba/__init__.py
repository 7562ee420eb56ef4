"""Neural Behavioral Alignment: behavior.py (form of knowledge), pseudo.py (samples), nba.py (the method)."""

from nba_cli.defenses.nba.nba import NBA

__all__ = ["NBA"]
