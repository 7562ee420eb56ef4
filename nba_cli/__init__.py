"""Experiment runner for neural backdoors: attacks, defenses, and their honest measurement."""

__version__ = "0.1.0"
