"""From Hydra's composed config to a typed run: the second hop after `cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nba_cli import logs, runs, schema, stages, suspects, tables
from nba_cli.errors import Refused, did_you_mean


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
    except Refused:
        return REFUSED


def install() -> None:
    """Teach OmegaConf the resolver, and Hydra the schemas."""
    OmegaConf.register_new_resolver("nba.name", name, replace=True)
    schema.register()
    logs.setup()


def attack(cfg: DictConfig) -> str:
    return _perform("attack", cfg)


def defend(cfg: DictConfig) -> str:
    return _perform("defend", cfg)


def evaluate(cfg: DictConfig) -> str:
    return _perform("evaluate", cfg)


def preview(cfg: DictConfig) -> str:
    return _perform("preview", cfg)


TASKS = {"attack": attack, "defend": defend, "evaluate": evaluate, "preview": preview}


def _perform(stage: str, cfg: DictConfig) -> str:
    install()  # a parallel launcher starts this in a fresh process
    try:
        return str(stages.perform(stage, typed(cfg, stage), recall=HydraConfig.get().mode is RunMode.RUN))
    except Refused as error:
        if HydraConfig.get().mode is RunMode.MULTIRUN:  # the sweep goes on; its last line names only the first refusal
            logs.LOG.error(f"refused: {' '.join(HydraConfig.get().overrides.task)}: {error}")
        raise
    finally:
        placeholder = Path(cfg.output) / REFUSED
        if placeholder.is_dir():
            placeholder.rmdir()


class SideBySide(Callback):
    """Ends a sweep with one table of its jobs (those that ran in this process)."""

    def __init__(self) -> None:
        self.folders: list[Path] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if isinstance(out := job_return._return_value, str) and config.hydra.job.name != "preview":
            self.folders.append(Path(out))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if self.folders:
            logs.console().print()
            logs.print_table(tables.side_by_side(self.folders))
