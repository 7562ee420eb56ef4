"""The runs that an experiment lacks, and the command lines that make them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nba_cli.runs import command_line

if TYPE_CHECKING:
    from nba_cli.reports.experiments import Experiment

LISTED = 12  # command lines that are shown


def missing_jobs(experiment: Experiment, root: Path) -> list[str]:
    """Commands for the jobs of an experiment that have no result: single ones, or all of it if that is shorter."""
    where = [] if str(root) == "runs" else [f"output={root}"]
    left = [[*job.overrides, *where] for job in experiment.jobs if not job.finished]
    lines = command_line.commands(experiment.stage, left) if left else []
    return lines if len(lines) <= LISTED else [" ".join([experiment.command, *where])]
