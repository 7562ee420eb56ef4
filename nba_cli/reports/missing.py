"""The runs that an experiment lacks, and the command lines that make them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nba_cli.runs import command_line
from nba_cli.runs.record import Record

if TYPE_CHECKING:
    from nba_cli.reports.experiments import Experiment

LISTED = 12  # command lines that are shown


def missing_jobs(experiment: Experiment, made: Sequence[Record], root: Path) -> list[str]:
    """Commands for the jobs of an experiment that none of the records is of: single ones, or all of it if that is
    shorter."""
    where = [] if str(root) == "runs" else [f"output={root}"]
    left = [[*job.overrides, *where] for job in experiment.due(made)]
    lines = command_line.commands(experiment.stage, left) if left else []
    return lines if len(lines) <= LISTED else [" ".join([experiment.command, *map(command_line.in_quotes, where)])]
