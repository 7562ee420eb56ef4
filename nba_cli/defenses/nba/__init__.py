"""Neural Behavioral Alignment: behavior.py is the form of knowledge, pseudo.py and misbehavior.py are the samples, nba.py
is the method."""

from nba_cli.defenses.nba.nba import NBA

__all__ = ["NBA"]
