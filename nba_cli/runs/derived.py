"""Runs that follow from another one: its victim, the clean victim beside it, the helper of its trigger."""

from __future__ import annotations

import dataclasses
from typing import Any

from attacks import Helped, NoAttack
from nba_cli import options
from nba_cli.errors import Refused
from nba_cli.loggers import Logger
from nba_cli.runs.settings import AttackRun, PreviewRun, option_names


def as_attack(run: AttackRun | PreviewRun, **changes: Any) -> AttackRun:
    """The attack run with these settings. `overwrite` is not passed on, so a finished victim is reused."""
    names = [name for name in option_names(AttackRun) if hasattr(run, name) and name not in ("overwrite", "dry_run")]
    return AttackRun(**{name: getattr(run, name) for name in names} | changes)


def as_clean(run: AttackRun) -> AttackRun:
    """The clean victim of the same settings: the reference of every figure."""
    return as_attack(run, attack=NoAttack())


def as_helper(run: AttackRun) -> AttackRun:
    """The helper model that the run's trigger is crafted on: a clean victim with a seed of its own.

    It has a folder of its own below `output`, so that no table counts it among the victims, nor does a logger.

    Raises:
        Refused: it would be the run's own clean victim.
    """
    assert isinstance(run.attack, Helped)
    if run.attack.helper_seed == run.seed:
        raise Refused(f"attack.helper_seed={run.seed}: the victim has this seed; give the helper another one.")
    return as_attack(
        run, attack=NoAttack(), seed=run.attack.helper_seed, output=f"{run.output}/helper", logger=Logger()
    )


def unseeded(run: AttackRun) -> AttackRun:
    """The run with every seed at 0."""
    own, of_data = (dict.fromkeys(options.seed_names(type(each)), 0) for each in (run, run.dataset))
    return dataclasses.replace(run, dataset=dataclasses.replace(run.dataset, **of_data), **own)
