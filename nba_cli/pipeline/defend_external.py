"""`nba defend weights=FILE`: clean a model that nobody here trained, with the few clean images at hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import rich
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from attacks import Unknown
from nba_cli.console import LOG
from nba_cli.data import Data, Splits, clean_share
from nba_cli.errors import Refused, given_as
from nba_cli.files import file_digest
from nba_cli.pipeline import cleaning, trigger_choice
from nba_cli.pipeline.suspect import opened
from nba_cli.pipeline.tracking import tracked
from nba_cli.pipeline.workbench import open_workbench
from nba_cli.runs import folder
from nba_cli.runs.registry import kind
from nba_cli.runs.settings import DefendRun
from nba_cli.training import predict
from nba_cli.victims import external

SHOWN = 8  # kinds of changed predictions that the terminal lists


def defend_external(run: DefendRun, out: Path) -> None:
    """Clean the model in `run.weights`, and measure before and after."""
    path = Path(str(run.weights))
    if run.dataset.clean_disjoint:
        raise Refused("dataset.clean_disjoint=true: nobody knows which images the attacker of weights=… changed.")
    bench = open_workbench("defend", run, out)
    splits = bench.splits
    with given_as(f"weights={run.weights}", path):
        network, source = opened(bench, path)
    attack = trigger_choice.from_user(run, run.trigger, splits)
    dataset = run.dataset
    clean = splits.train if splits.defender else clean_share(splits.train, dataset.clean_ratio, dataset.clean_seed)
    check_clean(run, clean, splits)
    bench.header(
        weights=str(path),
        trigger="unknown: no ASR, no RA" if isinstance(attack, Unknown) else f"{kind(attack)}, for ASR and RA",
        defense=f"{kind(run.defense)}, sees {len(clean):,} clean images",
        measured=f"on {'a hold-out of ' if splits.defender else ''}{len(splits.test):,} images",
    )
    with tracked(bench) as onward:
        bench.begin()
        network = network.to(bench.device)
        said, before = predict(network, splits.test.images, bench.dtype), bench.measure(network, attack)
        cleaned = cleaning.clean(bench, attack, network, clean, before, onward)
        cleaned_file = out / f"{folder.CLEANED}{path.suffix}"
        external.save(cleaned.network, source, cleaned_file)
        changed = changed_predictions(said, predict(cleaned.network, splits.test.images, bench.dtype))
        known = {
            "changed": changed,
            "counts": {"train": len(splits.train)},
            "seconds": {},
            "digests": {"victim": file_digest(path)},
            "victim": str(path),
        }
        cleaning.record(bench, attack, cleaned, before=before, reference=None, known=known)
        rich.print(changes_table(changed, splits))
        LOG.info(f"cleaned weights, in the form that came in: {cleaned_file}")


def check_clean(run: DefendRun, clean: Data, splits: Splits) -> None:
    """Refuse a clean set that is too small for the defense, by the option that it comes from.

    Raises:
        Refused: it is.
    """
    try:
        run.defense.check_clean(clean)
    except Refused as error:
        path, ratio = getattr(run.dataset, "path", None), run.dataset.clean_ratio
        option = f"dataset.path={path}" if splits.defender else f"dataset.clean_ratio={ratio}"
        raise Refused(f"{option}: {error} Give it more.") from error


def changed_predictions(before: Tensor, after: Tensor) -> list[dict[str, int]]:
    """Predictions int64 [N] twice -> how many went from which class to which, most frequent first."""
    pairs = Counter((one, two) for one, two in zip(before.tolist(), after.tolist(), strict=True) if one != two)
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [{"from": one, "to": two, "count": count} for (one, two), count in ranked]


def changes_table(changed: list[dict[str, int]], splits: Splits) -> Table:
    """Changed predictions on the test set, the most frequent kinds."""
    count = sum(each["count"] for each in changed)
    found = Table(
        title=f"{count} of {len(splits.test)} predictions changed", title_justify="left", box=None, padding=(0, 2)
    )
    for title in ("from class", "to class", "images"):
        found.add_column(title, justify="left" if splits.names and "class" in title else "right")
    for each in changed[:SHOWN]:
        found.add_row(*(escape(splits.class_of(each[end])) for end in ("from", "to")), str(each["count"]))
    if len(changed) > SHOWN:
        found.add_row("…", "…", str(sum(each["count"] for each in changed[SHOWN:])))
    return found
