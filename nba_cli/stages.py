"""The whole program in a page: attack, defend, evaluate."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from attacks import poison, poisoned_index
from nba_cli import foreign, logs, metrics, runs, seeds, sheet, suspects, tables, triggers, weights
from nba_cli.bench import Bench, open_bench, poison_note
from nba_cli.data import clean_share, hold_out
from nba_cli.data.arrays import file_digest
from nba_cli.errors import Refused
from nba_cli.history import History
from nba_cli.schema import GROUPS, AttackRun, DefendRun, EvaluateRun, Machine, PreviewRun, as_attack, as_clean
from nba_cli.train import cross_entropy, fit
from nba_cli.victims import Network


def perform(stage: str, run: Machine, recall: bool = False) -> Path:
    """Do a run in its folder, or find it done there, and `recall` its figures; returns the folder.

    An interrupted run of the same settings is continued; a finished one is left alone unless `overwrite`.
    """
    out = runs.folder(stage, run)
    with runs.locked(out, Path(run.output)):
        if runs.finished(out) and not run.overwrite:
            logs.LOG.info(f"{stage}: already finished: {out} (overwrite=true does it again)")
            if isinstance(run, AttackRun) and stage == "attack":
                complete(run, out)
            if recall:
                logs.print_table(tables.side_by_side([out]))
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
    if bench.splits.defender:
        raise Refused(
            "clean images alone are for cleaning a model, nba defend weights=…: no victim is trained on them."
        )
    index = poisoned_index(run.attack, train, num_classes, run.seed)
    helper = clean_victim(bench)
    crafting = triggers.equip(run, bench, helper)
    poisoned = poison(run.attack, train, index, num_classes, run.seed)
    bench.begin()
    bench.header(seed=str(run.seed), poisoned=poison_note(run.attack, len(index), len(train)))
    joint = run.attack.join(train.images.shape[1], num_classes, seeds.derive(run.seed, "partner"), bench.device)
    objective, partner = joint or (cross_entropy, None)
    network = run.victim.build(num_classes, train, seeds.derive(run.seed, "weights")).to(bench.device)
    checkpoint = out / "checkpoint"
    history = History(out / "history.jsonl", resume=checkpoint.is_file())
    with logs.Bars(history) as report:
        fit(
            network,
            run.dataset.place(poisoned, bench.device),
            run.train,
            objective,
            augment=run.dataset.augment,
            generator=seeds.generator(run.seed, "train", bench.device),
            dtype=bench.dtype,
            report=report,
            phase="victim",
            checkpoint=checkpoint,
            partner=partner,
        )
    if partner is not None:
        triggers.adopt(run.attack, partner)
    weights.save(network, out / "model.safetensors")
    trigger = triggers.keep(run.attack, out)
    figures = bench.measure(network)
    clean = bench.measure(helper()) if run.reference and figures["asr"] is not None else None
    bench.finish(
        figures=figures,
        reference=clean,
        trigger=bench.trigger(),
        counts={"train": len(train), "test": len(test), "poisoned": len(index)},
        seconds={"craft": crafting, "train": history.seconds},
        digests={
            "train": train.digest(),
            "test": test.digest(),
            "poisoned": hashlib.sha256(index.numpy().tobytes()).hexdigest(),
            "weights": file_digest(out / "model.safetensors"),
        }
        | trigger,
    )
    rows = [("victim", figures, history.seconds)]
    logs.show(tables.figures([*rows, ("clean victim", clean, None)] if clean else rows), out)


def complete(run: AttackRun, out: Path) -> None:
    """Measure what the record of a finished victim lacks: its reference, which `reference=false` left out then."""
    found = runs.results(out)
    if not run.reference or found["figures"]["asr"] is None or found.get("reference") is not None:
        return
    bench = open_bench("attack", run, out)
    triggers.recall(run.attack, out / triggers.FILE)
    figures = bench.measure(bench.load(out / "model.safetensors"))
    reference = bench.measure(clean_victim(bench)())
    runs.amend(out, {"figures": figures, "reference": reference, "trigger": bench.trigger()})
    logs.show(tables.figures([("victim", figures, None), ("clean victim", reference, None)]), out)


def clean_victim(bench: Bench) -> Callable[[], Network]:
    """Returns the clean victim of the bench's settings, frozen; trained at the first call when it is missing."""

    @functools.cache
    def network() -> Network:
        run = as_clean(bench.run)
        if not runs.finished(runs.folder("attack", run)):
            logs.LOG.info("next, the clean victim of the same settings, for reference (reference=false does without)")
        victim = perform("attack", run)
        return bench.load(victim / "model.safetensors").eval().requires_grad_(False)

    return network


def defend(run: DefendRun, out: Path) -> None:
    """Train the victim if it is missing, hand the evidence to the defense, measure before and after."""
    if run.weights is not None:
        suspects.defend(run, out)
        return
    victim = perform("attack", as_attack(run))
    before = runs.results(victim)
    triggers.recall(run.attack, victim / triggers.FILE)
    bench = open_bench("defend", run, out)
    train = bench.splits.train
    clean = clean_share(train, run.dataset.clean_ratio, run.dataset.clean_seed)
    bench.header(
        seed=f"{run.seed}, of the defense {run.defense_seed}",
        poisoned=poison_note(run.attack, before["counts"]["poisoned"], len(train)),
        defense=f"{runs.kind(run.defense)}, sees {len(clean):,} clean images "
        f"({100 * run.dataset.clean_ratio:.4g} % of the training set)",
    )
    network = bench.load(victim / "model.safetensors")
    bench.begin()
    was, reference = before["figures"], before.get("reference")
    if run.tune:  # from here on, all is measured on images that the defense did not see, and none of the test set
        clean, held = hold_out(clean, run.dataset.held, seeds.generator(run.defense_seed, "tune"))
        bench.splits = replace(bench.splits, test=held)
        was, reference = bench.measure(network), None
    cured, cost = bench.cure(network, clean)
    weights.save(cured, out / "model.safetensors")
    figures = bench.measure(cured)
    der = metrics.der(was, figures)
    if bench.snapshots:
        bench.snapshots.measure(network, lambda: bench.measure(network), was, figures)
    triggers.keep(run.attack, out)
    own = {
        "clean": clean.digest(),
        "test": bench.splits.test.digest(),
        "weights": file_digest(out / "model.safetensors"),
    }
    bench.finish(
        figures=figures,
        before=was,
        reference=reference,
        der=der,
        trigger=bench.trigger(),
        counts=before["counts"] | {"clean": len(clean), "test": len(bench.splits.test)},
        seconds=before["seconds"] | {"defense": cost.seconds},
        passes=cost.passes,
        memory=cost.memory,
        digests=before["digests"] | {"victim": before["digests"]["weights"]} | own,
        victim=str(victim),
        victim_commit=before["made"]["commit"],
    )
    rows = [("before", was, None), ("after", figures, cost.seconds)]
    logs.show(tables.figures([("clean victim", reference, None), *rows] if reference else rows, der), out)


def evaluate(run: EvaluateRun, out: Path) -> None:
    """Measure the model of a finished run, or bare weights, under a trigger."""
    subject, file = runs.suspect(run)
    bench = open_bench("evaluate", subject, out)
    bench.header(weights=str(file))
    network = subject.victim.build(bench.splits.num_classes, bench.splits.train)
    weights.put(network, foreign.read(file).tensors, file, quiet=subject.victim.mean is not None)
    triggers.find(run, bench, clean_victim(bench))
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
        trigger=bench.trigger(),
        counts={"test": len(bench.splits.test)},
        seconds={"evaluate": seconds},
        digests={"test": bench.splits.test.digest(), "weights": file_digest(file)},
        model=str(file),
    )
    logs.show(tables.figures([("model", figures, seconds)]), out)


def preview(run: PreviewRun, out: Path) -> None:
    """Draw triggers on test images. Nothing is trained: a learned trigger is shown where a run has learned it."""
    splits = run.dataset.load()
    index = sheet.choose(splits.test, run.images)
    clean = splits.test.images[index]
    views = []
    for attack in [run.attack] if run.attack else [made for cls in GROUPS["attack"].values() if (made := cls()).rate]:
        triggers.remember(run.of(attack), splits)
        views.append(sheet.look(runs.kind(attack), attack, clean, index))
    runs.begin(out, "preview", run)
    sheet.save(clean, views, out / "preview.png")
    sheet.show(clean, views)
    logs.LOG.info(f"picture: {out / 'preview.png'}")


STAGES = {"attack": attack, "defend": defend, "evaluate": evaluate, "preview": preview}
