"""The agenda of a sweep, made without starting anything."""

from __future__ import annotations

from pathlib import Path

import torch
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from nba_cli import devices
from nba_cli.cli.agenda import FINISHED, REFUSED, SKIPPED, Agenda, Need, Planned, plural, state_of
from nba_cli.cli.forecast import Outlook
from nba_cli.cli.launchers import is_parallel, workers
from nba_cli.cli.words import part_of, recorded
from nba_cli.pipeline import room
from nba_cli.pipeline.needs import crafts, missing
from nba_cli.runs.durations import Workload, workload
from nba_cli.runs.foreign import why_skipped
from nba_cli.runs.hydra_errors import one_line
from nba_cli.runs.job_run import Bases, job_run
from nba_cli.runs.jobs import Jobs, expand
from nba_cli.runs.naming import folder_of
from nba_cli.runs.plain import to_plain
from nba_cli.runs.record import named
from nba_cli.runs.settings import AttackRun, DefendRun

OPTION = "dry_run"  # which makes no job another
MOST = 1000  # jobs whose agenda is made: some ten seconds
STAGES = ("attack", "defend")  # whose runs take long, and train others first


def jobs_of(loader: ConfigLoader, config: DictConfig) -> Jobs:
    """The jobs of the sweep that Hydra has composed as `config`."""
    return expand(loader, dict(config.hydra.sweeper.get("params") or {}), list(config.hydra.overrides.task))


def outlook(loader: ConfigLoader, config: DictConfig, jobs: Jobs) -> Outlook | None:
    """What the sweep has before it; None if its runs are over at once, or too many to look at each before the first."""
    stage = config.hydra.job.name
    if stage not in STAGES or len(jobs) > MOST:
        return None
    return Outlook(agenda_of(stage, jobs, loader, config), Path(config.output))


def foreseen(loader: ConfigLoader, config: DictConfig, jobs: Jobs) -> tuple[Outlook | None, str]:
    """The outlook of a sweep that begins now, and the line that heads it.

    Whatever an estimate stumbles over stops no sweep: Hydra would make a warning of it, and start no job at all.
    """
    count = plural(len(jobs), "job")
    try:
        found = outlook(loader, config, jobs)
        return found, f"sweep: {found.heading(workers(config.hydra)) if found else count}"
    except Exception as error:
        return None, f"sweep: {count}; {untold(error)}"


def untold(error: Exception) -> str:
    return f"how long it takes cannot be told ({type(error).__name__}: {error})"


def agenda_of(stage: str, jobs: Jobs, loader: ConfigLoader, config: DictConfig) -> Agenda:
    """The agenda of the sweep that Hydra has composed as `config`, in the order of its jobs."""
    parser = OverridesParser.create(config_loader=loader)
    hydras = [word for word in config.hydra.overrides.hydra if not word.startswith("hydra.mode=")]

    def composed(choices: tuple[str, ...]) -> DictConfig:
        found = loader.load_configuration(config.hydra.job.config_name, [*hydras, *choices], run_mode=RunMode.RUN)
        with open_dict(found):
            del found["hydra"]  # each job has its own
        return found

    bases, differ = Bases(composed), set(jobs.swept)
    threads = None if is_parallel(config.hydra) else torch.get_num_threads()  # each launcher divides them its own way

    def of(words: list[str]) -> Planned:
        own = [word for word in recorded(words) if part_of(word) != OPTION]
        label = " ".join(word for word in own if word.partition("=")[0] in differ) or " ".join(own) or "the run"
        try:
            return planned(label, stage, job_run(stage, parser.parse_overrides(words), bases), threads)
        except Exception as error:
            if (line := one_line(error)) is None:
                raise
            return Planned(label=label, state=REFUSED, why=line)

    return [of(words) for words in jobs]


def planned(label: str, stage: str, run: AttackRun, threads: int | None) -> Planned:
    """A job that is `run`, as it stands now; `threads` of the CPU compute it, None: nobody knows how many.

    Raises:
        Refused: it would be refused when its turn has come, as far as that can be told without its data.
    """
    if why := why_skipped(run):
        return Planned(label=label, state=SKIPPED, why=why)
    own, state = work_of(stage, run, threads), state_of(folder_of(stage, run), run.overwrite)
    if state != FINISHED:
        run.logger.check()
        if isinstance(run, DefendRun):
            room.check_defense(run)
    before = [] if state == FINISHED else missing(run)
    needs = tuple(Need(what=what, work=work_of("attack", each, threads)) for what, each in before)
    return Planned(label=label, state=state, own=own, needs=needs, again=run.overwrite)


def work_of(stage: str, run: AttackRun, threads: int | None) -> Workload:
    settings = named(to_plain(run), run.victim.label) | {"stage": stage}
    parts = ("defense",) if stage == "defend" else ("craft", "train") if crafts(run) else ("train",)
    device = devices.resolve(run.device)
    return workload(
        folder_of(stage, run), settings, parts, devices.processor(device), threads if device.type == "cpu" else None
    )
