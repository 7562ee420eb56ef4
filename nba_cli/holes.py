"""What a table lacks, and the command lines that fill it."""

from __future__ import annotations

import itertools
from pathlib import Path

from nba_cli import again, sweeps
from nba_cli.experiments import Experiment
from nba_cli.report import Key, Report
from nba_cli.results import SEEDS, Result, text

LISTED = 12  # command lines that are shown


def unfinished(experiment: Experiment, root: Path) -> list[str]:
    """Commands for the jobs of an experiment that have no result: single ones, or all of it where that is shorter."""
    left = [[*job.overrides, *place(root)] for job in experiment.jobs if not job.finished]
    lines = sweeps.commands(experiment.stage, [sweeps.Job(number=0, overrides=words) for words in left]) if left else []
    return lines if len(lines) <= LISTED else [" ".join([experiment.command, *place(root)])]


def find(report: Report, stage: str, root: Path) -> list[str]:
    """Commands for the cells that lack seeds which other cells have."""
    if stage == "evaluate" or {*report.rows, *report.cols} & {*SEEDS}:  # with a line a seed none is lacking
        return []
    units = list(dict.fromkeys(result.unit for result in report.results))
    lines: list[str] = []
    for section, number in itertools.product(report.sections, range(len(report.sections[0].lines))):
        line = section.lines[number]
        lacking = [unit for unit in units if unit not in {result.unit for result in line.results}]
        column = [result for each in section.lines for result in each.results]
        row = [result for each in report.sections for result in each.lines[number].results]
        if lacking and column and row and (mixed := mixture(column[0], row[0], line.key, report)):
            words = [f"{name}={value}" for name, value in mixed.items()] + place(root)
            lines += sweeps.commands(stage, [sweeps.Job(number=0, overrides=words + seeds(unit)) for unit in lacking])
    return lines if len(lines) <= LISTED else [*lines[:LISTED], f"… and {len(lines) - LISTED} more"]


def place(root: Path) -> list[str]:
    return [] if str(root) == "runs" else [f"output={root}"]


def seeds(unit: tuple) -> list[str]:
    """The seeds of a repetition, as typed."""
    return [f"{name}={text(value)}" for name, value in zip(SEEDS, unit, strict=True) if value is not None]


def mixture(column: Result, row: Result, key: Key, report: Report) -> dict[str, str] | None:
    """The settings of a section, with those of a line where the line stands for them; None where nobody can tell:
    of a model from elsewhere, or of a part that is not registered here."""
    of_column, of_row = again.of(column), again.of(row)
    if of_column is None or of_row is None or any(one.settings.get("weights") is not None for one in (column, row)):
        return None
    own = [*report.rows, *(part.partition("=")[0] for part in key[len(report.rows) :])]

    def belongs(name: str) -> bool:
        return any(name == axis or name.startswith(f"{axis}.") for axis in own)

    return {name: value for name, value in of_column.items() if not belongs(name)} | {
        name: value for name, value in of_row.items() if belongs(name)
    }
