"""`nba evaluate`: measure the model of a finished run, or bare weights, under a trigger."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nba_cli import console
from nba_cli.errors import given_as
from nba_cli.files import file_digest
from nba_cli.pipeline import trigger_cache, trigger_choice
from nba_cli.pipeline.attack import helper
from nba_cli.pipeline.suspect import opened
from nba_cli.pipeline.tracking import tracked
from nba_cli.pipeline.workbench import open_workbench
from nba_cli.runs import folder, summary
from nba_cli.runs.naming import folder_of, measured_name, subject
from nba_cli.runs.plain import to_plain
from nba_cli.runs.settings import EvaluateRun


def evaluated(run: EvaluateRun, again: Callable[[Path], None] | None = None) -> Path:
    """The folder of a finished evaluation. Does it if it is missing, else calls `again`."""
    out = folder_of("evaluate", run)
    return folder.once(out, run.output, lambda: evaluate(run, out), again, overwrite=run.overwrite)


def evaluate(run: EvaluateRun, out: Path) -> None:
    """Measure the model of a finished run, or bare weights, under a trigger."""
    measured, file = subject(run)
    given, place = (f"weights={run.weights}", file) if run.run is None else (f"run={run.run}", Path(run.run))
    with given_as(given, place):
        if run.run is not None:
            folder.intact(place, folder.WEIGHTS)
        bench = open_workbench("evaluate", measured, out)
        if run.run is not None and run.dataset is None and not getattr(measured, "tune", False):  # tuned on a hold-out
            bench.check_data(place, "test")
        network, _ = opened(bench, file)
    bench.header(weights=str(file))
    with tracked(bench):  # before a trigger is learned, which may train a helper model
        attack = trigger_choice.for_evaluation(run, bench, partial(helper, bench))
        bench.begin()
        began = time.monotonic()
        figures = bench.measure(network.to(bench.device), attack)
        ended = time.monotonic()
        shown = bench.trigger_figures(attack)
        settings = to_plain(measured)
        if run.weights is not None:  # nobody knows how bare weights were trained
            settings = {part: settings[part] for part in ("attack", "victim", "dataset")}
        bench.finish(
            settings=settings,
            figures=figures,
            trigger=shown,
            counts={"test": len(bench.splits.test)},
            seconds={"evaluate": ended - began} | bench.rest(ended),
            digests={"test": bench.test_digest, "weights": file_digest(file)} | trigger_cache.named(attack),
            model=str(file),
            measured=measured_name(run),
        )
        console.closing(summary.figures([("model", figures, ended - began)]), out)
