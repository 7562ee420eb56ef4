"""The whole program in a page: attack, defend, evaluate."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from attacks import poison
from nba_cli import logs, metrics, runs, seeds, tables, weights
from nba_cli.bench import open_bench, poison_note
from nba_cli.data import clean_share
from nba_cli.data.arrays import file_digest
from nba_cli.defenses import Evidence
from nba_cli.errors import Refused
from nba_cli.history import History
from nba_cli.schema import AttackRun, DefendRun, EvaluateRun, Machine, as_attack
from nba_cli.train import fit


def perform(stage: str, run: Machine) -> Path:
    """Do a run in its folder, or find it done there; returns the folder.

    An interrupted run of the same settings is continued; a finished one is left alone unless `overwrite`.
    """
    out = runs.folder(stage, run)
    with runs.locked(out, Path(run.output)):
        if runs.finished(out) and not run.overwrite:
            logs.LOG.info(f"{stage}: already finished: {out} (overwrite=true does it again)")
            return out
        try:
            with logs.recording(out / "run.log"):
                STAGES[stage](run, out)
        except Refused:
            runs.discard(out)
            raise
    return out


def attack(run: AttackRun, out: Path) -> None:
    """Poison the training set, train the victim on it, measure it."""
    bench = open_bench("attack", run, out)
    train, test, num_classes = bench.splits.train, bench.splits.test, bench.splits.num_classes
    poisoned, index = poison(run.attack, train, num_classes, run.seed)
    bench.begin()
    bench.header(seed=str(run.seed), poisoned=poison_note(run.attack, len(index), len(train)))
    network = run.victim.build(num_classes, train, seeds.derive(run.seed, "weights")).to(bench.device)
    checkpoint = out / "checkpoint"
    history = History(out / "history.jsonl", resume=checkpoint.is_file())
    with logs.Bars(history) as report:
        fit(
            network,
            run.dataset.place(poisoned, bench.device),
            run.train,
            augment=run.dataset.augment,
            generator=seeds.generator(run.seed, "train", bench.device),
            dtype=bench.dtype,
            report=report,
            phase="victim",
            checkpoint=checkpoint,
        )
    weights.save(network, out / "model.safetensors")
    figures = bench.measure(network)
    bench.finish(
        figures=figures,
        counts={"train": len(train), "test": len(test), "poisoned": len(index)},
        seconds={"train": history.seconds},
        digests={
            "train": train.digest(),
            "test": test.digest(),
            "poisoned": hashlib.sha256(index.numpy().tobytes()).hexdigest(),
            "weights": file_digest(out / "model.safetensors"),
        },
    )
    logs.show(tables.figures([("victim", figures, history.seconds)]), out)


def defend(run: DefendRun, out: Path) -> None:
    """Train the victim if it is missing, hand the evidence to the defense, measure before and after."""
    victim = perform("attack", as_attack(run))
    before = runs.results(victim)
    bench = open_bench("defend", run, out)
    train, num_classes = bench.splits.train, bench.splits.num_classes
    clean = clean_share(train, run.dataset.clean_ratio, run.dataset.clean_seed)
    bench.header(
        seed=f"{run.seed}, of the defense {run.defense_seed}",
        poisoned=poison_note(run.attack, before["counts"]["poisoned"], len(train)),
        defense=f"{runs.kind(run.defense)}, sees {len(clean):,} clean images "
        f"({100 * run.dataset.clean_ratio:.4g} % of the training set)",
    )
    network = run.victim.build(num_classes, train)
    weights.load(network, victim / "model.safetensors")
    bench.begin()
    evidence = Evidence(
        model=network.to(bench.device),
        clean=run.dataset.place(clean, bench.device),
        num_classes=num_classes,
        augment=run.dataset.augment,
        dtype=bench.dtype,
    )
    began = time.monotonic()
    with logs.Bars(History(out / "history.jsonl", resume=False)) as report:
        cured = run.defense(evidence, seeds.generator(run.defense_seed, "defense", bench.device), report)
    seconds = time.monotonic() - began
    weights.save(cured, out / "model.safetensors")
    figures = bench.measure(cured)
    der = metrics.der(before["figures"], figures)
    own = {"clean": clean.digest(), "weights": file_digest(out / "model.safetensors")}
    bench.finish(
        figures=figures,
        before=before["figures"],
        der=der,
        counts=before["counts"] | {"clean": len(clean)},
        seconds=before["seconds"] | {"defense": seconds},
        digests=before["digests"] | {"victim": before["digests"]["weights"]} | own,
        victim=str(victim),
        victim_commit=before["made"]["commit"],
    )
    logs.show(tables.figures([("before", before["figures"], None), ("after", figures, seconds)], der), out)


def evaluate(run: EvaluateRun, out: Path) -> None:
    """Measure the model of a finished run, or bare weights, under a trigger."""
    subject, file = runs.suspect(run)
    bench = open_bench("evaluate", subject, out)
    bench.header(weights=str(file))
    network = subject.victim.build(bench.splits.num_classes, bench.splits.train)
    weights.load(network, file)
    bench.begin()
    began = time.monotonic()
    figures = bench.measure(network.to(bench.device))
    seconds = time.monotonic() - began
    settings = runs.describe(subject)
    if run.weights is not None:  # nobody knows how bare weights were trained
        settings = {part: settings[part] for part in ("attack", "victim", "dataset")}
    bench.finish(
        settings=settings,
        figures=figures,
        counts={"test": len(bench.splits.test)},
        seconds={"evaluate": seconds},
        digests={"test": bench.splits.test.digest(), "weights": file_digest(file)},
        model=str(file),
    )
    logs.show(tables.figures([("model", figures, seconds)]), out)


STAGES = {"attack": attack, "defend": defend, "evaluate": evaluate}
