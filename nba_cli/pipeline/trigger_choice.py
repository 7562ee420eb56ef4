"""Which trigger a model is measured under: its run's own, one that the user gives, or one learned for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from attacks import Attack, Learned
from nba_cli.data import Splits
from nba_cli.errors import Refused, given_as
from nba_cli.pipeline import trigger_cache
from nba_cli.pipeline.workbench import Workbench
from nba_cli.runs import folder
from nba_cli.runs.registry import kind
from nba_cli.runs.settings import AttackRun, EvaluateRun
from nba_cli.victims import Network


def for_evaluation(run: EvaluateRun, bench: Workbench, helper: Callable[[], Network]) -> Attack:
    """The attack that an evaluation measures with.

    Its trigger is the one given, the model's own, or learned as for its run.

    Raises:
        Refused: nothing says which trigger is meant, or the trigger is learned together with a victim that is missing.
    """
    attack = bench.run.attack
    if run.trigger is not None or run.run is None:
        return from_user(bench.run, run.trigger, bench.splits)
    if run.attack is None:
        return trigger_cache.of_run(attack, Path(run.run))
    if not isinstance(attack, Learned):
        return attack
    if attack.joint:
        ready = trigger_cache.reuse(bench.run, bench.splits)
        if not isinstance(ready, Learned) or ready.made is None:
            name = kind(attack)
            raise Refused(
                f"attack={name}: its trigger is trained together with a victim, which is not there. "
                f"Run nba attack attack={name} with the same settings first, or give trigger=FILE."
            )
        return ready
    return attack.with_trigger({}) if attack.train_only else trigger_cache.prepare(bench, helper)[0]


def from_user(run: AttackRun, file: str | None, splits: Splits) -> Attack:
    """The run's attack with the trigger in `file`, for a model of unknown origin.

    Triggers drawn from settings need no file.

    Raises:
        Refused: a learned one is needed and not given, or what is given does not fit.
    """
    attack, name = run.attack, kind(run.attack)
    if not isinstance(attack, Learned):
        if file is not None:
            raise Refused(f"trigger={file}: attack={name} has no trigger that is kept in a file. Leave it out.")
        return attack
    if file is not None:
        with given_as(f"trigger={file}", Path(file)):
            ready = trigger_cache.load(attack, Path(file))
        try:
            ready.stamp(splits.test.images[:1].float() / 255, torch.zeros(1, dtype=torch.int64))
        except (KeyError, RuntimeError) as error:
            shape = "x".join(map(str, splits.test.images.shape[1:]))
            raise Refused(f"trigger={file}: no trigger of attack={name} as set, on images of {shape}.") from error
        return ready
    if attack.train_only:
        return attack.with_trigger({})
    if attack.crafted or attack.joint:
        raise Refused(f"attack={name}: its trigger is learned. Add trigger=FILE: the {folder.TRIGGER} of a run.")
    return trigger_cache.reuse(run, splits)
