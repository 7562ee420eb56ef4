"""What cleaning a victim and cleaning a model from elsewhere have in common."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from attacks import Attack
from nba_cli import console, seeds
from nba_cli.data import Data
from nba_cli.defenses import NBA, Defense, Evidence
from nba_cli.files import file_digest
from nba_cli.metrics import backdoor, cost
from nba_cli.pipeline import trigger_cache
from nba_cli.pipeline.bars import Bars
from nba_cli.pipeline.history import History
from nba_cli.pipeline.snapshots import Snapshots
from nba_cli.pipeline.tracking import Onward
from nba_cli.pipeline.workbench import Workbench
from nba_cli.runs import folder, summary
from nba_cli.runs.settings import Budget, DefendRun
from nba_cli.training import Progress
from nba_cli.victims import Network, weights


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What a defense made of a model.

    Fields:
        network: the cleaned network
        figures: its ACC, ASR and RA
        spent: what the defense cost
        images: digest of the clean images that the defense saw, and their number
        ended: when the defense returned it, by the monotonic clock
    """

    network: Network
    figures: dict[str, Any]
    spent: cost.Cost
    images: tuple[str, int]
    ended: float


def clean(
    bench: Workbench, attack: Attack, network: Network, images: Data, before: dict[str, Any], onward: Onward
) -> Cleaned:
    """Let the run's defense clean `network`, whose figures are `before`, and measure what comes back.

    Writes weights, history and, if the run asks for them, snapshots to the run's folder; `onward` tells its logger.
    """
    run, out = defend_run(bench), bench.out
    told = onward(History(out / folder.HISTORY, resume=False))
    snapshots = Snapshots(out / folder.SNAPSHOTS, out / folder.CURVE, network, told) if run.snapshots else None
    cleaned, spent = run_defense(bench, network, images, snapshots or told)
    ended = time.monotonic()
    weights.save(cleaned, out / folder.WEIGHTS)
    figures = bench.measure(cleaned, attack)
    if snapshots is not None:
        snapshots.measure(network, lambda: bench.measure(network, attack), before, figures)
    seen = (images.digest(), len(images))
    return Cleaned(network=cleaned, figures=figures, spent=spent, images=seen, ended=ended)


def record(
    bench: Workbench,
    attack: Attack,
    cleaned: Cleaned,
    *,
    before: dict[str, Any],
    reference: dict[str, Any] | None,
    known: dict[str, Any],
) -> None:
    """Write the record of a finished defense and show its figures.

    `before` and `reference` are the figures of the suspect model and of a clean victim. `known` are fields of the
    record; what is known of every defense is added to its `counts`, `seconds` and `digests`.
    """
    out, der, spent = bench.out, backdoor.der(before, cleaned.figures), cleaned.spent
    digest, count = cleaned.images
    saved, file = trigger_cache.save(attack, out), folder.DIGESTS[folder.TRIGGER]
    own = {name: saved[name] for name in saved if name == file}  # the trigger is the victim's, its file is this run's
    own |= {"clean": digest, "test": bench.test_digest, "weights": file_digest(out / folder.WEIGHTS)}
    shown = bench.trigger_figures(attack)
    bench.finish(
        figures=cleaned.figures,
        before=before,
        reference=reference,
        der=der,
        trigger=shown,
        passes=spent.passes,
        memory=spent.memory,
        **known
        | {
            "counts": known["counts"] | {"test": len(bench.splits.test), "clean": count},
            "seconds": known["seconds"] | {"defense": spent.seconds} | bench.rest(cleaned.ended),
            "digests": saved | known["digests"] | own,
        },
    )
    rows = [("before", before, None), ("after", cleaned.figures, spent.seconds)]
    console.closing(summary.figures([("clean victim", reference, None), *rows] if reference else rows, der), out)


def defend_run(bench: Workbench) -> DefendRun:
    """The workbench's run, which is one of `nba defend`."""
    assert isinstance(bench.run, DefendRun)
    return bench.run


def run_defense(bench: Workbench, network: Network, images: Data, onward: Progress) -> tuple[Network, cost.Cost]:
    """Hand the evidence to the run's defense: the cleaned network, and what it cost."""
    run = defend_run(bench)
    evidence = Evidence(
        model=network.to(bench.device),
        clean=run.dataset.place(images, bench.device),
        num_classes=bench.splits.num_classes,
        augment=run.dataset.augment,
        dtype=bench.dtype,
        compiling=run.compiling,
    )
    defense = budgeted(run, len(images))
    meter = cost.Meter(evidence.model)
    cost.reset_peak(bench.device)
    began = time.monotonic()
    with Bars(onward) as progress:
        cleaned = defense(evidence, seeds.generator(run.defense_seed, "defense", bench.device), progress)
    seconds = time.monotonic() - began
    return cleaned, cost.Cost(seconds=seconds, passes=dict(meter.counts), memory=cost.peak(bench.device))


def budgeted(run: DefendRun, clean: int) -> Defense:
    """The run's defense, as long as its budget says with `clean` images."""
    if run.budget is Budget.published:
        return run.defense
    return run.defense.with_budget(NBA().backward_images(clean), clean)
