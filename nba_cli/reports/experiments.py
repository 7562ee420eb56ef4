"""The jobs of an experiment, named without running any: what a table of it has to hold."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from nba_cli.devices import Precision
from nba_cli.errors import Refused
from nba_cli.files import conf_dir
from nba_cli.reports.filters import is_among, matches
from nba_cli.reports.headings import heading
from nba_cli.runs import folder, reading
from nba_cli.runs.compose import install
from nba_cli.runs.declared import declared
from nba_cli.runs.job_run import Bases, job_run
from nba_cli.runs.jobs import expand
from nba_cli.runs.naming import folder_of
from nba_cli.runs.plain import to_plain
from nba_cli.runs.record import Record, to_text
from nba_cli.runs.registry import GROUPS
from nba_cli.runs.settings import AttackRun

PRECISIONS = (Precision.bf16, Precision.fp32, Precision.fp16)


@dataclass(frozen=True)
class Planned:
    """A job: its overrides, what is known of its run without running it, and the folders that the result may lie in
    (one a precision, where the machine decides on that)."""

    overrides: tuple[str, ...]
    expected: Record
    folders: tuple[Path, ...]

    @property
    def finished(self) -> Path | None:
        return next((out for out in self.folders if folder.finished(out)), None)


@dataclass(frozen=True)
class Experiment:
    """Fields:
    name: as in +experiment=NAME
    stage: the command that runs it
    command: the line that its file opens with
    question: what it answers
    jobs: all of them
    planned: the settings that it varies, and its parts, with their values as text
    """

    name: str
    stage: str
    command: str
    question: str
    jobs: list[Planned]
    planned: dict[str, list[str]]

    def due(self, made: Sequence[Record]) -> list[Planned]:
        """The jobs that none of these records is of: not finished, or their record is damaged."""
        folders = {record.folder for record in made}
        return [job for job in self.jobs if folders.isdisjoint(job.folders)]

    def axes(self) -> tuple[list[str], list[str]]:
        """(rows, columns) of its table: sections by attack, data set or victim, lines by whatever else is varied."""
        varied = [name for name, values in self.planned.items() if len(values) > 1 and name not in declared().seeds]
        cols = [name for name in ("attack", "dataset", "victim") if name in varied][:1] or ["attack"]
        return [name for name in varied if name not in cols] or ["defense"], cols

    def only(self, filters: Mapping[str, Sequence[str]]) -> Experiment:
        """The experiment restricted to the jobs that match the filters.

        Raises:
            Refused: none does.
        """
        jobs = [job for job in self.jobs if matches(job.expected.settings, filters)]
        if not jobs:
            said = " ".join(f"{name}={','.join(wanted)}" for name, wanted in filters.items())
            raise Refused(f"experiment={self.name}: no job of it has {said}.")
        planned = {
            name: [value for value in values if is_among(value, filters.get(name, [value]))]
            for name, values in self.planned.items()
        }
        return replace(self, jobs=jobs, planned=planned)


def load(name: str, output: str) -> Experiment:
    """Read an experiment and list its jobs.

    Raises:
        Refused: there is no experiment of this name, or its file does not open with its command.
    """
    stage, command, question = heading(name)
    params, runs = composed_runs(name, stage)
    jobs = [planned_job(words, stage, replace(run, output=output)) for words, run in runs]
    return Experiment(name, stage, command, question, jobs, planned_values(jobs, params))


@functools.cache
def composed_runs(name: str, stage: str) -> tuple[tuple[str, ...], tuple[tuple[Sequence[str], AttackRun], ...]]:
    """(swept settings, overrides and run of each job). Kept, for composing takes seconds and the files stay as they are
    while a process lasts."""
    install()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        first = f"+experiment={name}"
        params = compose(stage, [first], return_hydra_config=True).hydra.sweeper.params
        loader = GlobalHydra.instance().config_loader()
        parser = OverridesParser.create(config_loader=loader)
        bases = Bases(lambda words: compose(stage, list(words)))
        runs = tuple(
            (words, job_run(stage, parser.parse_overrides(words), bases))
            for words in expand(loader, dict(params), [first])
        )
    return tuple(map(str, params)), runs


def planned_job(words: Sequence[str], stage: str, run: AttackRun) -> Planned:
    precisions = PRECISIONS if run.precision is Precision.auto else (run.precision,)
    folders = tuple(folder_of(stage, replace(run, precision=precision)) for precision in precisions)
    return Planned(tuple(words), reading.expected(folders[0], stage, to_plain(run), run.victim.label), folders)


def planned_values(jobs: Sequence[Planned], params: Iterable[str]) -> dict[str, list[str]]:
    """Of every group and swept setting: the values that the jobs have, as text, in the order of the jobs."""
    found = {
        name: list(dict.fromkeys(to_text(job.expected.get(name)) for job in jobs if name in job.expected.settings))
        for name in dict.fromkeys([*GROUPS, *params])
    }
    return {name: values for name, values in found.items() if values}
