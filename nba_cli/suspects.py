"""`nba defend weights=FILE`: clean a model that nobody here trained, with the few clean images at hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from rich.table import Table
from torch import Tensor

from nba_cli import foreign, logs, metrics, runs, tables, triggers, weights
from nba_cli.bench import open_bench
from nba_cli.data import clean_share
from nba_cli.data.arrays import file_digest
from nba_cli.errors import Refused
from nba_cli.predict import predict
from nba_cli.schema import DefendRun

SHOWN = 8  # kinds of changed predictions that the terminal lists


def named(run: DefendRun) -> DefendRun:
    """The run with the victim that its weights file names, where it names one."""
    victim = foreign.read(Path(str(run.weights))).victim
    return run if victim is None else replace(run, victim=replace(victim, mean=run.victim.mean, std=run.victim.std))


def defend(run: DefendRun, out: Path) -> None:
    """Clean the model in `run.weights`, and measure before and after."""
    path = Path(str(run.weights))
    source = foreign.read(path)
    bench = open_bench("defend", run, out)
    splits = bench.splits
    if source.num_classes not in (None, splits.num_classes):
        raise Refused(
            f"{path}: a model of {source.num_classes} classes, but dataset={runs.kind(run.dataset)} has "
            f"{splits.num_classes}. Give the images that the model is for."
        )
    if source.model_name is not None and source.victim is None:
        logs.LOG.warning(f"{path}: its model_name={source.model_name} is none that is known; victim=… is taken instead")
    network = run.victim.build(splits.num_classes, splits.train)
    weights.put(network, source.tensors, path, quiet=run.victim.mean is not None)
    triggers.take(run.attack, run.trigger, bench)
    dataset = run.dataset
    clean = splits.train if splits.defender else clean_share(splits.train, dataset.clean_ratio, dataset.clean_seed)
    bench.header(
        weights=str(path),
        trigger=f"{runs.kind(run.attack)}, which ASR and RA are for (attack=unknown where none is known)",
        defense=f"{runs.kind(run.defense)}, sees {len(clean):,} clean images",
        measured=f"on {'a hold-out of ' if splits.defender else ''}{len(splits.test):,} images",
    )
    bench.begin()
    before, said = bench.measure(network.to(bench.device)), predict(network, splits.test.images, bench.dtype)
    cured, cost = bench.cure(network, clean)
    weights.save(cured, out / "model.safetensors")
    cleaned = out / f"cleaned{path.suffix}"
    foreign.save(cured, source, cleaned)
    after, says = bench.measure(cured), predict(cured, splits.test.images, bench.dtype)
    der, changed = metrics.der(before, after), changes(said, says)
    if bench.snapshots:
        bench.snapshots.measure(network, lambda: bench.measure(network), before, after)
    bench.finish(
        figures=after,
        before=before,
        reference=None,
        der=der,
        trigger=bench.trigger(),
        changed=changed,
        counts={"train": len(splits.train), "test": len(splits.test), "clean": len(clean)},
        seconds={"defense": cost.seconds},
        passes=cost.passes,
        memory=cost.memory,
        digests={
            "test": splits.test.digest(),
            "clean": clean.digest(),
            "victim": file_digest(path),
            "weights": file_digest(out / "model.safetensors"),
        }
        | triggers.keep(run.attack, out),
        victim=str(path),
    )
    logs.show(tables.figures([("before", before, None), ("after", after, cost.seconds)], der), out)
    logs.print_table(table(changed, len(splits.test)))
    logs.LOG.info(f"cleaned weights, in the form that came in: {cleaned}")


def changes(before: Tensor, after: Tensor) -> list[dict[str, int]]:
    """Predictions int64 [N] twice -> how many went from which class to which, most frequent first."""
    pairs = Counter((one, two) for one, two in zip(before.tolist(), after.tolist(), strict=True) if one != two)
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [{"from": one, "to": two, "count": count} for (one, two), count in ranked]


def table(changed: list[dict[str, int]], total: int) -> Table:
    """Changed predictions, the most frequent kinds."""
    count = sum(each["count"] for each in changed)
    found = Table(title=f"{count} of {total} predictions changed", title_justify="left", box=None, padding=(0, 2))
    for title in ("from class", "to class", "images"):
        found.add_column(title, justify="right")
    for each in changed[:SHOWN]:
        found.add_row(*(str(each[key]) for key in ("from", "to", "count")))
    if len(changed) > SHOWN:
        found.add_row("…", "…", str(sum(each["count"] for each in changed[SHOWN:])))
    return found
