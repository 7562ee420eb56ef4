"""What a table lacks, and the command lines that fill it."""

from __future__ import annotations

import itertools
from pathlib import Path

from nba_cli import again, sweeps
from nba_cli.experiments import Experiment
from nba_cli.pivot import Report
from nba_cli.results import SEEDS, Result, text

LISTED = 12  # command lines that are shown


def unfinished(experiment: Experiment) -> list[str]:
    """Commands for the jobs of an experiment that have no result: single ones, or all of it where that is shorter."""
    left = [
        sweeps.Job(number=k, overrides=list(job.overrides)) for k, job in enumerate(experiment.jobs) if not job.finished
    ]
    lines = sweeps.commands(experiment.stage, left) if left else []
    return lines if len(lines) <= LISTED else [experiment.command]


def find(report: Report, stage: str, root: Path) -> list[str]:
    """Commands for the cells that lack seeds which other cells have."""
    if stage == "evaluate":
        return []
    units = list(dict.fromkeys(result.unit for result in report.results))
    lines: list[str] = []
    where = [] if str(root) == "runs" else [f"output={root}"]
    for section, number in itertools.product(report.sections, range(len(report.sections[0].lines))):
        line = section.lines[number]
        lacking = [unit for unit in units if unit not in {result.unit for result in line.results}]
        column = [result for each in section.lines for result in each.results]
        row = [result for each in report.sections for result in each.lines[number].results]
        if lacking and column and row and not unfillable(column[0], row[0]):
            mixed = mixture(again.of(column[0]), again.of(row[0]), report)
            words = [f"{name}={value}" for name, value in mixed.items()] + where
            lines += sweeps.commands(stage, [sweeps.Job(number=0, overrides=words + seeds(unit)) for unit in lacking])
    return lines if len(lines) <= LISTED else [*lines[:LISTED], f"… and {len(lines) - LISTED} more"]


def seeds(unit: tuple) -> list[str]:
    """The seeds of a repetition, as typed."""
    return [f"{name}={text(value)}" for name, value in zip(SEEDS, unit, strict=True) if value is not None]


def unfillable(*found: Result) -> bool:
    """A model from elsewhere: its command names a file that only its owner knows."""
    return any(result.settings.get("weights") is not None for result in found)


def mixture(column: dict[str, str], row: dict[str, str], report: Report) -> dict[str, str]:
    """The settings of a section, with those of a line where the line stands for them."""

    def of_row(name: str) -> bool:
        return any(name == axis or name.startswith(f"{axis}.") for axis in report.rows)

    return {name: value for name, value in column.items() if not of_row(name)} | {
        name: value for name, value in row.items() if of_row(name)
    }
