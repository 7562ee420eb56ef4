"""Finished runs -> tables and plots."""
