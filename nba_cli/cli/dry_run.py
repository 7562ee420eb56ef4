"""`nba attack … dry_run=true` and `nba defend … dry_run=true`: what a command would do. Starts and writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from nba_cli.cli import planning
from nba_cli.cli.agenda import FINISHED, REFUSED, first
from nba_cli.cli.composer import Composer
from nba_cli.cli.forecast import Outlook, estimate, in_words
from nba_cli.cli.launchers import check_launcher, workers
from nba_cli.cli.planning import OPTION
from nba_cli.cli.words import asks_for_a_sweep, composable, flags
from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.files import conf_dir
from nba_cli.runs.durations import Workload
from nba_cli.runs.jobs import Jobs


def is_asked(words: Sequence[str]) -> bool:
    """Whether the command line names the option; its value is looked at when all is composed."""
    return any(word.lstrip("+").partition("=")[0] == OPTION for word in words)


def main(stage: str, words: Sequence[str]) -> bool:
    """List what the command would do. False: it says dry_run=false, and is to be done.

    Raises:
        Refused: there is no list of its jobs, or the command itself would be refused.
    """
    if stage not in planning.STAGES:
        raise Refused(f"{OPTION}: it is for nba attack and nba defend. nba {stage} trains nothing that takes long.")
    for word in words:
        if word.lstrip("+").startswith(f"{OPTION}=") and "," in word:
            raise Refused(f"{word}: it is for a whole command, and no job of a sweep can differ in it.")
    asked = flags(words)
    mode = RunMode.MULTIRUN if asks_for_a_sweep(stage, asked) else RunMode.RUN
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration(stage, composable(asked), run_mode=mode)
        if not config[OPTION]:
            return False
        show(loader, config, jobs_of(loader, config))
    return True


def jobs_of(loader: ConfigLoader, config: DictConfig) -> Jobs:
    """The jobs to list.

    Raises:
        Refused: they are known only while the sweep runs, or they are too many.
    """
    check_launcher(config.hydra)
    if config.hydra.sweeper.get("n_trials") is not None:
        raise Refused(f"{OPTION}=true: this sweeper chooses the settings of a job when the one before has ended.")
    jobs = planning.jobs_of(loader, config)
    if len(jobs) > planning.MOST:
        raise Refused(f"{OPTION}=true: the sweep has {len(jobs):,} jobs; {planning.MOST:,} at most are listed.")
    return jobs


def show(loader: ConfigLoader, config: DictConfig, jobs: Jobs) -> None:
    """Print a line for each job, one for each run that is trained first, and how many they are.

    Raises:
        Refused: a value fits no job, and refuses the sweep; or every job would be refused.
    """
    outlook = planning.outlook(loader, config, jobs)
    assert outlook is not None
    heading = outlook.heading(workers(config.hydra))
    refused = [planned.why for planned in outlook.agenda if planned.state == REFUSED]
    if refused and len(jobs) == 1:
        raise Refused(refused[0])
    if refused:
        Composer(loader.get_search_path()).try_values(config, jobs.columns)
    wide = max(len(planned.label) for planned in outlook.agenda)
    for planned in outlook.agenda:
        due = planned.own is not None and planned.state != FINISHED
        said = time_of(planned.own, outlook) if planned.own and due else planned.why
        LOG.info(f"{planned.state:<10}{planned.label:<{wide}}  {said}".rstrip())
    for need in first(outlook.agenda):
        LOG.info(f"first     {need.what}: {need.work.folder}  {time_of(need.work, outlook)}".rstrip())
    LOG.info(f"dry run: {heading}")
    if len(refused) == len(jobs):
        raise Refused(refused[0])


def time_of(work: Workload, outlook: Outlook) -> str:
    """Of one run by itself; nothing if no run like it has finished."""
    span = estimate(work, outlook.experience)
    return in_words(replace(span, bare=False)) if span.high else ""  # the last line says it once
