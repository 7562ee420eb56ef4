"""The runs that another one trains first because they are missing. Nothing is done here."""

from __future__ import annotations

from attacks import Helped
from nba_cli.pipeline import trigger_cache
from nba_cli.runs import folder
from nba_cli.runs.derived import as_attack, as_clean, as_helper
from nba_cli.runs.naming import folder_of, trigger_folder
from nba_cli.runs.settings import AttackRun, DefendRun


def missing(run: AttackRun) -> list[tuple[str, AttackRun]]:
    """What the run trains first, in that order, each with what it serves as.

    Raises:
        Refused: the helper model that its trigger is crafted on would be its own clean victim.
    """
    if isinstance(run, DefendRun):
        if run.weights is not None or run.victims is not None:
            return []
        victim = as_attack(run)
        return [*missing(victim), *unfinished("victim", victim)]
    found: list[tuple[str, AttackRun]] = []
    done = folder.finished(out := folder_of("attack", run)) and not run.overwrite
    if crafts(run) and isinstance(run.attack, Helped) and run.attack.helped and not done:
        found += unfinished("helper model", as_helper(run))
    if run.reference and run.attack.rate and not (done and folder.read_metrics(out).get("reference")):
        found += unfinished("clean victim", as_clean(run))
    return found


def crafts(run: AttackRun) -> bool:
    """Whether the trigger of the run's attack has still to be learned, before any victim."""
    return getattr(run.attack, "crafted", False) and trigger_cache.cost(trigger_folder(run)) is None


def unfinished(what: str, run: AttackRun) -> list[tuple[str, AttackRun]]:
    return [] if folder.finished(folder_of("attack", run)) else [(what, run)]
