"""What Hydra calls: a run, or a job of a sweep."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, cast

import hydra
import rich
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nba_cli import devices, ranks
from nba_cli.cli import dry_run, orphans
from nba_cli.cli.journal import Job, Journal
from nba_cli.cli.launchers import has_workers, is_parallel
from nba_cli.cli.planning import OPTION
from nba_cli.cli.quoting import quoted
from nba_cli.cli.sweep import Sweep
from nba_cli.cli.vocabulary import vocabulary
from nba_cli.cli.words import asks_for_a_sweep, check_choices, flags, flags_first, leave_to_jobs, part_of, recorded
from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.files import conf_dir
from nba_cli.pipeline.perform import perform
from nba_cli.runs import folder, foreign, summary
from nba_cli.runs.compose import REFUSED, install, typed_run
from nba_cli.runs.declared import declared
from nba_cli.runs.hydra_errors import one_line, stopped
from nba_cli.runs.naming import folder_of
from nba_cli.runs.settings import AttackRun, EvaluateRun, Machine

PLACES = ("output", "device")  # options of this machine, which say nothing of a sweep


def main(stage: str, arguments: list[str]) -> int:
    """Hydra composes the settings and calls the task; returns the exit code."""
    install()
    arguments = quoted(arguments, vocabulary().places)
    declared()  # kept for the tables of the runs to come
    asked = flags(arguments)
    if asked.multirun and asked.cfg:
        raise Refused("--multirun and --cfg exclude each other. --cfg job shows the settings of one job.")
    check_choices(arguments)
    if ranks.launched() > 1 and asks_for_a_sweep(stage, asked):
        raise Refused(
            "torchrun is for one run on several processes. A sweep is many runs: leave torchrun out and add "
            "hydra/launcher=parallel, processes or slurm."
        )
    if asked.multirun:
        arguments = leave_to_jobs(arguments)
    shown = asked.cfg or asked.info
    if dry_run.is_asked(arguments) and not shown and dry_run.main(stage, arguments):
        return 0
    sys.argv = [f"nba {stage}", *flags_first(arguments)]
    code = 0
    try:
        with contextlib.redirect_stderr(cast(TextIO, WithoutHydraNoise(sys.stderr))):
            hydra.main(config_path=str(conf_dir()), config_name=stage, version_base="1.3")(TASKS[stage])()
    finally:
        if Sweep.current is not None:
            code = Sweep.current.conclude()
    return code


class WithoutHydraNoise:
    """stderr without Hydra's "Error executing job with overrides: [...]", which precedes every failure of a job."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith("Error executing job with overrides:") else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def attack(cfg: DictConfig) -> str | float | None:
    return _perform("attack", cfg)


def defend(cfg: DictConfig) -> str | float | None:
    return _perform("defend", cfg)


def evaluate(cfg: DictConfig) -> str | float | None:
    return _perform("evaluate", cfg)


def preview(cfg: DictConfig) -> str | float | None:
    return _perform("preview", cfg)


TASKS: dict[str, Callable[[DictConfig], str | float | None]] = {
    "attack": attack,
    "defend": defend,
    "evaluate": evaluate,
    "preview": preview,
}
"""By stage. Functions of this module, because parallel launchers send them to other processes by their names."""


def _perform(stage: str, cfg: DictConfig) -> str | float | None:
    """The task that Hydra calls, for a run or for a job of a sweep."""
    install()  # a parallel launcher starts this in a fresh process
    config = HydraConfig.get()
    if cfg.get(OPTION):  # `main` looks for it among the words
        raise Refused(f"{OPTION}=true: give it on the command line, not in a file.")
    if config.job.chdir:  # it would make every relative path one below the run's folder
        os.chdir(config.runtime.cwd)
    try:
        if config.mode is RunMode.RUN:
            return str(perform(stage, typed_run(cfg, stage), lambda out: rich.print(summary.side_by_side([out]))))
        return _job(stage, cfg, config)
    finally:
        with contextlib.suppress(OSError):  # it is not there, or another job has just removed it
            (Path(cfg.output) / REFUSED).rmdir()


def _job(stage: str, cfg: DictConfig, config: Any) -> str | float | None:
    """One job of a sweep: its end is noted in the journal, and a failure does not stop the other jobs."""
    journal = Journal(Path(config.sweep.dir))
    if has_workers(config) and Sweep.current is None:
        orphans.end_with_parent(journal.folder)
    job = journal.job(config.job.num, recorded(config.overrides.task))
    parallel = is_parallel(config) and Sweep.current is None  # a launcher of one process runs jobs in the parent
    rich.get_console().quiet = parallel  # the parent reports; several processes would garble each other's lines
    if not parallel:
        LOG.info(f"job {job.number + 1} of {journal.about.get('total') or 'many'}: {job.label}")
    journal.note(job)
    began = time.monotonic()
    try:
        run = in_sweep(typed_run(cfg, stage), config, journal)
        job = replace(job, folder=str(folder_of(stage, run)))
        journal.note(job)
        job = _attempt(stage, run, job, parallel)
    except KeyboardInterrupt:
        journal.forget(job)
        raise
    except Exception as error:
        job = _failed(job, error)
        LOG.error(f"{job.end}: {job.label}: {job.why}")
    journal.note(replace(job, seconds=time.monotonic() - began))
    if getattr(cfg, "tune", False) or OmegaConf.select(cfg, "dataset.reserved"):
        return score(job)
    return job.folder or ""


def in_sweep(run: Machine, config: Any, journal: Journal) -> Machine:
    """The run with a logger that shows which sweep it belongs to, by its experiment or else by its command."""
    if not isinstance(run, (AttackRun, EvaluateRun)):
        return run
    words = (word for word in journal.about.get("command", ()) if not word.startswith("--"))
    command = [word for word in words if part_of(word) not in PLACES]
    label = config.runtime.choices.get("experiment") or " ".join(command) or journal.about.get("stage", "")
    return replace(run, logger=run.logger.of_sweep(label))


def _attempt(stage: str, run: Machine, job: Job, parallel: bool) -> Job:
    """The job when it has been done, or skipped because its attack is for models from elsewhere."""
    if why := foreign.why_skipped(run):
        with contextlib.suppress(OSError):  # Hydra made it; not empty if it holds an earlier run
            Path(str(job.folder)).rmdir()
        return replace(job, end="skipped", why=why)
    if parallel and run.device == "auto":
        run = replace(run, device=devices.spread(job.number))
    perform(stage, run)
    return replace(job, end="finished")


def _failed(job: Job, error: Exception) -> Job:
    """The job that ended in `error`: refused if it was bad input, failed if it is a defect or the machine's."""
    why = stopped(error)
    line = why or one_line(error)
    return replace(
        job,
        end="failed" if why or line is None or isinstance(error, OSError) else "refused",
        why=line or f"{type(error).__name__}: {error}",
        trace=None if line else "".join(traceback.format_exception(error)),
    )


def score(job: Job) -> float | None:
    """What a sweeper that chooses settings maximises: the mean of ACC and RA, of ACC alone without a trigger.

    Optuna counts None as a failed trial and goes on.
    """
    if job.end != "finished" or job.folder is None or not folder.finished(Path(job.folder)):
        return None
    figures = folder.read_metrics(Path(job.folder))["figures"]
    return figures["acc"] if figures["ra"] is None else (figures["acc"] + figures["ra"]) / 2
