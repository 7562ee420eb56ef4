"""`nba defend`: train the victim if it is missing, hand the evidence to the defense, measure before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from attacks import changed_index
from nba_cli import seeds
from nba_cli.data import Data, Splits, clean_share, hold_out
from nba_cli.errors import Refused
from nba_cli.pipeline import cleaning, trigger_cache
from nba_cli.pipeline.attack import victim
from nba_cli.pipeline.defend_external import defend_external
from nba_cli.pipeline.tracking import tracked
from nba_cli.pipeline.workbench import open_workbench, poison_note
from nba_cli.runs import folder
from nba_cli.runs.derived import as_attack
from nba_cli.runs.naming import folder_of, kept_victim
from nba_cli.runs.registry import kind
from nba_cli.runs.settings import DefendRun


def defended(run: DefendRun, again: Callable[[Path], None] | None = None) -> Path:
    """The folder of a finished defense. Runs it if it is missing, else calls `again`."""
    out = folder_of("defend", run)
    do = defend if run.weights is None else defend_external
    return folder.once(out, run.output, lambda: do(run, out), again, overwrite=run.overwrite)


def defend(run: DefendRun, out: Path) -> None:
    """Clean the victim of the same settings, and measure before and after."""
    source = suspect_folder(run, out)
    made = folder.read_metrics(source)
    known = taken_over(made, source)
    attack = trigger_cache.of_run(run.attack, source)
    bench = open_workbench("defend", run, out)
    bench.check_data(source, "train", "test")
    train = bench.splits.train
    clean = clean_set(run, bench.splits)
    used, held = divided(run, clean)
    bench.header(
        seed=f"{run.seed}, of the defense {run.defense_seed}",
        poisoned=poison_note(attack, known["counts"]["poisoned"], len(train)),
        defense=f"{kind(run.defense)}, sees {len(clean):,} clean images "
        f"({100 * len(clean) / len(train):.4g} % of the training set)",
    )
    network = bench.load_network(folder.intact(source, folder.WEIGHTS))
    with tracked(bench) as onward:
        bench.begin()
        before, reference = made["figures"], made.get("reference")
        if held is not None:  # all is measured on images that the defense does not see, and none of the test set
            bench = replace(bench, splits=replace(bench.splits, test=held))
            before, reference = bench.measure(network, attack), None
        cleaned = cleaning.clean(bench, attack, network, used, before, onward)
        cleaning.record(bench, attack, cleaned, before=before, reference=reference, known=known)


def suspect_folder(run: DefendRun, out: Path) -> Path:
    """The folder of the run's victim: the one in `victims`, which is only read, or its own, trained if missing."""
    if run.victims is not None:
        return kept_victim(run)
    wanted = as_attack(run)
    if not folder.finished(folder_of("attack", wanted)):  # what is refused is refused before a victim is trained
        divided(run, clean_set(run, open_workbench("defend", run, out).splits))
    return victim(wanted)


def taken_over(made: dict[str, Any], source: Path) -> dict[str, Any]:
    """What the record of a defense says of its victim, whose record in the folder `source` is `made`.

    Raises:
        Refused: that lacks something.
    """
    try:
        return {
            "counts": made["counts"] | {"poisoned": made["counts"]["poisoned"]},  # which must not be missing
            "seconds": made["seconds"],
            "digests": made["digests"] | {"victim": made["digests"]["weights"]},
            "victim": str(source),
            "victim_commit": made["made"]["commit"],
        }
    except (KeyError, TypeError) as error:
        raise folder.damaged(source / folder.METRICS, f"{type(error).__name__}: {error}") from error


def clean_set(run: DefendRun, splits: Splits) -> Data:
    """The defender's images, without the originals of those that the attacker changes if the run asks for that."""
    dataset, apart = run.dataset, None
    if dataset.clean_disjoint:
        apart = changed_index(run.attack, splits.train, splits.num_classes, run.seed)
    return clean_share(splits.train, dataset.clean_ratio, dataset.clean_seed, apart)


def divided(run: DefendRun, clean: Data) -> tuple[Data, Data | None]:
    """What the defense sees of the clean set, and what it is measured on instead of the test set; None: on that.

    Raises:
        Refused: the clean set is too small to be divided, or for the defense.
    """
    try:
        random = seeds.generator(run.defense_seed, "tune")
        used, held = hold_out(clean, run.dataset.held, random) if run.tune else (clean, None)
        run.defense.check_clean(used)
    except Refused as error:
        raise Refused(f"dataset.clean_ratio={run.dataset.clean_ratio}: {error} Raise it.") from error
    return used, held
