"""From Hydra's composed config to a typed run: the second hop after `cli`."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from attacks.none import Unknown
from nba_cli import devices, logs, overview, runs, schema, stages, suspects, sweeps
from nba_cli.errors import Refused, did_you_mean, one_line


def typed(cfg: DictConfig, stage: str) -> schema.Machine:
    """The run that a composed config describes, its values checked.

    Raises:
        Refused: a key that no class has (Hydra lets `+key=value` pass), or a value out of range.
    """
    job = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    cls = schema.RUNS[stage]
    if unknown := schema.unknown_keys(job, cls):
        owner, _, leaf = unknown[0].rpartition(".")
        options = (OmegaConf.get_type(OmegaConf.select(job, owner)) if owner else None) or cls
        raise Refused(f"+{unknown[0]}: there is no such option. {did_you_mean(leaf, schema.option_names(options))}")
    run = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), job))
    assert isinstance(run, schema.Machine)
    return suspects.named(run) if isinstance(run, schema.DefendRun) and run.weights is not None else run


REFUSED = ".refused"  # where Hydra puts the folder of a run that has no name


def name(stage: str, *, _root_: DictConfig) -> str:
    """The resolver that names run folders. A run that will be refused gets a placeholder: raising here, before the job
    has started, would take the rest of the sweep with it."""
    try:
        return runs.name(stage, typed(_root_, stage))
    except Exception as error:
        if one_line(error) is None:
            raise
        return REFUSED


def sweep_name() -> str:
    """The resolver that names the journal of a sweep: by its time, and by its parent process. Cached by OmegaConf, so
    that the jobs read what the parent has chosen."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


# here and not in `install`: the process of a parallel launcher reads the folder's name before it calls the task
OmegaConf.register_new_resolver("nba.name", name, replace=True)
OmegaConf.register_new_resolver("nba.sweep", sweep_name, replace=True, use_cache=True)


def install() -> None:
    """Teach Hydra the schemas, and log to the console."""
    schema.register()
    logs.setup()


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


def _perform(stage: str, cfg: DictConfig) -> str | float | None:
    """The task that Hydra calls, for a run or for a job of a sweep."""
    install()  # a parallel launcher starts this in a fresh process
    hydra = HydraConfig.get()
    try:
        if hydra.mode is RunMode.RUN:
            return str(stages.perform(stage, typed(cfg, stage), recall=True))
        return _job(stage, cfg, hydra)
    finally:
        with contextlib.suppress(OSError):  # it is not there, or another job has just removed it
            (Path(cfg.output) / REFUSED).rmdir()


def _job(stage: str, cfg: DictConfig, hydra: Any) -> str | float | None:
    """One job of a sweep: whatever becomes of it is written down, and the other jobs run."""
    journal = sweeps.Journal(Path(hydra.sweep.dir))
    job = journal.job(hydra.job.num, list(hydra.overrides.task))
    parallel = is_parallel(hydra)
    logs.console().quiet = parallel  # the parent tells; several processes would garble each other
    if not parallel:
        logs.LOG.info(f"job {job.number + 1} of {journal.about.get('total') or 'many'}: {job.label}")
    journal.note(job)
    began = time.monotonic()
    try:
        run = typed(cfg, stage)
        job.folder = str(runs.folder(stage, run))
        journal.note(job)
        if parallel and run.device == "auto":
            run.device = devices.spread(job.number)
        if isinstance(getattr(run, "attack", None), Unknown) and getattr(run, "weights", None) is None:
            job.state, job.why = "skipped", "attack=unknown is for models from elsewhere"
            with contextlib.suppress(OSError):  # Hydra made it; not empty where it holds an earlier run
                Path(job.folder).rmdir()
        else:
            stages.perform(stage, run)
            job.state = "finished"
    except KeyboardInterrupt:
        journal.forget(job)
        raise
    except Exception as error:
        line = one_line(error)
        job.state = "failed" if line is None or isinstance(error, OSError) else "refused"
        job.why = line or f"{type(error).__name__}: {error}"
        job.trace = None if line else traceback.format_exc()
        logs.LOG.error(f"{job.state}: {job.label}: {job.why}")
    job.seconds = time.monotonic() - began
    journal.note(job)
    if getattr(cfg, "tune", False):  # a sweeper that chooses settings reads a number
        return score(Path(job.folder)) if job.state == "finished" and job.folder else None
    return job.folder or ""


def score(out: Path) -> float:
    """What a sweeper maximises: the mean of ACC and RA (ACC alone without a trigger), on whatever the run measured."""
    figures = runs.results(out)["figures"]
    return figures["acc"] if figures["ra"] is None else (figures["acc"] + figures["ra"]) / 2


def is_parallel(hydra: Any) -> bool:
    """Whether the launcher runs jobs in other processes."""
    return not hydra.launcher._target_.endswith(".BasicLauncher")


class Sweep(Callback):
    """Hydra's handle on a sweep: opens its journal and its view. Hydra builds it, so the command line finds it here."""

    current: ClassVar[Sweep | None] = None

    def __getstate__(self) -> dict:
        """Parallel launchers send callbacks to their processes; journal and view stay with the parent."""
        return {}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        hydra = config.hydra
        loader = GlobalHydra.instance().config_loader()
        overrides = list(hydra.overrides.task)
        self.options = [word for word in hydra.overrides.hydra if word != "hydra.mode=MULTIRUN"]
        jobs: list[list[str]] = []
        total = hydra.sweeper.get("n_trials")
        if total is None:
            with contextlib.suppress(HydraException):  # a bad override: the sweeper is about to refuse it
                jobs = sweeps.expand(loader, dict(hydra.sweeper.get("params") or {}), overrides)
                total = len(jobs)
        self.journal = sweeps.Journal(Path(hydra.sweep.dir))
        self.journal.open(hydra.job.name, overrides + self.options, jobs, total)
        self.view = overview.Overview(self.journal, total, is_parallel(hydra))
        self.view.start()
        Sweep.current = self

    def conclude(self) -> int:
        """Called when the sweep has ended or was broken off: shows how; returns the exit code."""
        Sweep.current = None
        logs.console().quiet = False  # a launcher with one process may have run the jobs in this one
        self.view.stop()
        code = overview.conclude(self.journal, self.options)
        self.journal.close()
        return code
