"""`nba attack`: poison the training set, train the victim on it, measure it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import Tensor

from attacks import Attack, poison, poisoned_index
from nba_cli import console, ranks, seeds
from nba_cli.console import LOG
from nba_cli.data import Data
from nba_cli.errors import Refused
from nba_cli.files import file_digest
from nba_cli.pipeline import collective, trigger_cache
from nba_cli.pipeline.bars import Bars
from nba_cli.pipeline.history import History
from nba_cli.pipeline.tracking import Onward, tracked
from nba_cli.pipeline.workbench import Workbench, open_workbench, poison_note
from nba_cli.runs import folder, summary
from nba_cli.runs.derived import as_attack, as_clean, as_helper
from nba_cli.runs.naming import folder_of
from nba_cli.runs.settings import AttackRun
from nba_cli.victims import Network, weights


def victim(run: AttackRun, again: Callable[[Path], None] | None = None) -> Path:
    """The folder of a run's finished victim. Trains it if it is missing, else calls `again`."""
    run = as_attack(run, overwrite=run.overwrite)
    out = folder_of("attack", run)

    def found(out: Path) -> None:
        complete(run, out)
        if again is not None:
            again(out)

    return folder.once(out, run.output, lambda: attack(run, out), found, overwrite=run.overwrite)


def attack(run: AttackRun, out: Path) -> None:
    """Poison the training set, train the victim on it, measure it."""
    bench = open_workbench("attack", run, out)
    train, test, num_classes = bench.splits.train, bench.splits.test, bench.splits.num_classes
    if bench.splits.defender:
        raise Refused(
            f"dataset.path={getattr(run.dataset, 'path', None)}: clean images alone are for cleaning a model, "
            "nba defend weights=…: no victim is trained on them."
        )
    index = poisoned_index(run.attack, train, num_classes, run.seed)
    with tracked(bench) as onward:  # before a trigger is learned, which may train a helper model
        ready, crafting = trigger_cache.prepare(bench, partial(helper, bench))
        poisoned = poison(ready, train, index, num_classes, run.seed)
        bench.begin()
        bench.header(seed=str(run.seed), poisoned=poison_note(ready, len(index), len(train)))
        network, ready, seconds = train_victim(bench, ready, index, poisoned, onward)
        weights.save(network, out / folder.WEIGHTS)
        trigger_digest = trigger_cache.save(ready, out)
        ended, clean = time.monotonic(), None
        figures = bench.measure(network, ready)
        if run.reference and figures["asr"] is not None:
            began = time.monotonic()
            beside = clean_victim(bench)
            ended += time.monotonic() - began  # that is in the clean victim's own record
            clean = bench.measure(beside, ready)
        shown = bench.trigger_figures(ready)
        together = {"ranks": ranks.launched()} if ranks.launched() > 1 else {}
        bench.finish(
            figures=figures,
            reference=clean,
            trigger=shown,
            counts={"train": len(train), "test": len(test), "poisoned": len(index)} | together,
            seconds={"craft": crafting, "train": seconds} | bench.rest(ended),
            digests={
                "train": bench.train_digest,
                "test": bench.test_digest,
                "poisoned": hashlib.sha256(index.numpy().tobytes()).hexdigest(),
                "weights": file_digest(out / folder.WEIGHTS),
            }
            | trigger_digest,
        )
        rows = [("victim", figures, seconds)]
        console.closing(summary.figures([*rows, ("clean victim", clean, None)] if clean else rows), out)


def train_victim(
    bench: Workbench, ready: Attack, index: Tensor, poisoned: Data, onward: Onward
) -> tuple[Network, Attack, float]:
    """The victim, the attack with all of its trigger, and the seconds of training over all sessions."""
    run, checkpoint = bench.run, bench.out / folder.CHECKPOINT
    fresh = run.victim.build(bench.splits.num_classes, bench.splits.train, seeds.derive(run.seed, "weights"))
    history = History(bench.out / folder.HISTORY, resume=checkpoint.is_file())
    source = (index, bench.train_digest if ranks.launched() > 1 else "")
    shared = (bench.copied(fresh), ready, source, run, bench.device, bench.dtype)
    with Bars(onward(history)) as progress:
        own = {"poisoned": poisoned, "checkpoint": checkpoint, "progress": progress}
        network, partner = ranks.together(collective.train, *shared, **own)
    return network, ready if partner is None else trigger_cache.add_partner(ready, partner), history.seconds


def complete(run: AttackRun, out: Path) -> None:
    """Add the clean-victim reference to a finished record that was made with reference=false."""
    found = folder.read_metrics(out)
    if not run.reference or found["figures"]["asr"] is None or found.get("reference") is not None:
        return
    bench = open_workbench("attack", run, out)
    bench.check_data(out, "train", "test")
    ready = trigger_cache.of_run(run.attack, out)
    figures = bench.measure(bench.load_network(folder.intact(out, folder.WEIGHTS)), ready)
    reference = bench.measure(clean_victim(bench), ready)
    folder.amend(out, {"figures": figures, "reference": reference, "trigger": bench.trigger_figures(ready)})
    console.closing(summary.figures([("victim", figures, None), ("clean victim", reference, None)]), out)


def clean_victim(bench: Workbench) -> Network:
    """The clean victim of the bench's settings, frozen; trained first when it is missing."""
    return frozen(bench, as_clean(bench.run), "the clean victim for reference (skip it with reference=false)")


def helper(bench: Workbench) -> Network:
    """The helper model that the bench's trigger is crafted on, frozen; trained first when it is missing."""
    return frozen(bench, as_helper(bench.run), "the helper model that the trigger is crafted on")


def frozen(bench: Workbench, run: AttackRun, what: str) -> Network:
    """The network of an attack run, which is done first when it is missing."""
    if not folder.finished(folder_of("attack", run)):
        LOG.info(f"next: {what}")
    out = victim(run)
    bench.check_data(out, "train", "test")
    return bench.load_network(folder.intact(out, folder.WEIGHTS)).eval().requires_grad_(False)
