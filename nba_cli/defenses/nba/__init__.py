"""Neural Behavioral Alignment: form of knowledge (behavior), samples (pseudo, misbehavior), the method itself (nba)."""

from nba_cli.defenses.nba.nba import NBA

__all__ = ["NBA"]
