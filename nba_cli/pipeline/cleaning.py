"""What cleaning a victim and cleaning a model from elsewhere have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attacks import Attack
from nba_cli import console, seeds
from nba_cli.data import Data
from nba_cli.defenses import Evidence
from nba_cli.files import file_digest
from nba_cli.metrics import backdoor, cost
from nba_cli.pipeline import trigger_cache
from nba_cli.pipeline.bars import Bars
from nba_cli.pipeline.history import History
from nba_cli.pipeline.snapshots import Snapshots
from nba_cli.pipeline.workbench import Workbench
from nba_cli.runs import folder, summary
from nba_cli.runs.settings import DefendRun
from nba_cli.training import Progress
from nba_cli.victims import Network, weights


def clean_and_record(
    bench: Workbench,
    attack: Attack,
    network: Network,
    clean: Data,
    *,
    before: dict[str, Any],
    reference: dict[str, Any] | None,
    known: dict[str, Any],
    more: Callable[[Network], dict[str, Any]] = lambda cleaned: {},
) -> None:
    """Let the run's defense clean `network` with the images of `clean`; measure what comes back and write the record.

    `before` and `reference` are the figures of `network` and of a clean victim. `known` are fields of the record, of
    which `counts`, `seconds` and `digests` are added to; `more` gives further ones, from the cleaned network.
    """
    run, out = bench.run, bench.out
    assert isinstance(run, DefendRun)
    history: Progress = History(out / folder.HISTORY, resume=False)
    snapshots = Snapshots(out / folder.SNAPSHOTS, out / folder.CURVE, network, history) if run.snapshots else None
    cleaned, spent = run_defense(bench, run, network, clean, snapshots or history)
    weights.save(cleaned, out / folder.WEIGHTS)
    figures = bench.measure(cleaned, attack)
    der = backdoor.der(before, figures)
    fields = more(cleaned)
    if snapshots is not None:
        snapshots.measure(network, lambda: bench.measure(network, attack), before, figures)
    own = {
        "clean": clean.digest(),
        "test": bench.splits.test.digest(),
        "weights": file_digest(out / folder.WEIGHTS),
    }
    bench.finish(
        figures=figures,
        before=before,
        reference=reference,
        der=der,
        trigger=bench.trigger_figures(attack),
        **fields,
        passes=spent.passes,
        memory=spent.memory,
        **known
        | {
            "counts": known["counts"] | {"test": len(bench.splits.test), "clean": len(clean)},
            "seconds": known["seconds"] | {"defense": spent.seconds},
            "digests": trigger_cache.save(attack, out) | known["digests"] | own,
        },
    )
    rows = [("before", before, None), ("after", figures, spent.seconds)]
    console.closing(summary.figures([("clean victim", reference, None), *rows] if reference else rows, der), out)


def run_defense(
    bench: Workbench, run: DefendRun, network: Network, clean: Data, onward: Progress
) -> tuple[Network, cost.Cost]:
    """Hand the evidence to the run's defense: the cleaned network, and what it cost."""
    evidence = Evidence(
        model=network.to(bench.device),
        clean=run.dataset.place(clean, bench.device),
        num_classes=bench.splits.num_classes,
        augment=run.dataset.augment,
        dtype=bench.dtype,
    )
    meter = cost.Meter(evidence.model)
    cost.reset_peak(bench.device)
    began = time.monotonic()
    with Bars(onward) as progress:
        cleaned = run.defense(evidence, seeds.generator(run.defense_seed, "defense", bench.device), progress)
    seconds = time.monotonic() - began
    return cleaned, cost.Cost(seconds=seconds, passes=dict(meter.counts), memory=cost.peak(bench.device))
