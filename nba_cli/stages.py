"""The whole program in a page: attack, defend, evaluate."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import torch

from attacks import Attack, Mode, stamped
from nba_cli import devices, logs, metrics, pictures, runs, seeds, tables, weights
from nba_cli.data import Data, Splits, clean_share
from nba_cli.data.sets import file_digest
from nba_cli.defenses import Evidence
from nba_cli.devices import DTYPES
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
        with logs.recording(out / "run.log"):
            runs.begin(out, stage, run)
            STAGES[stage](run, out)
    return out


def poison(attack: Attack, splits: Splits, seed: int) -> tuple[Data, torch.Tensor]:
    """The poisoned training set and which of its images are poisoned, int64 [P]."""
    train = splits.train
    index = attack.choose(train.labels, splits.num_classes, seeds.generator(seed, "poison"))
    images, labels = train.images.clone(), train.labels.clone()
    images[index] = stamped(attack, train.images[index], index, train=True)
    labels[index] = attack.relabel(train.labels[index], splits.num_classes)
    return Data(images, labels), index


def attack(run: AttackRun, out: Path) -> None:
    """Poison the training set, train the victim on it, measure it."""
    device, precision = _machine(run)
    splits = run.dataset.load()
    poisoned, index = poison(run.attack, splits, run.seed)
    logs.header(
        "nba attack",
        _about(run, splits)
        | {
            "poisoned": _poison_note(run.attack, len(index), len(splits.train)),
            "device": devices.describe(device, precision),
            "folder": str(out),
        },
    )
    network = run.victim.build(splits.num_classes, splits.train, seeds.derive(run.seed, "weights")).to(device)
    began = time.monotonic()
    checkpoint = out / "checkpoint"
    history = runs.History(out / "history.jsonl", resume=checkpoint.is_file())
    with logs.Bars(history) as report:
        fit(
            network,
            poisoned.to(device),
            run.train,
            augment=run.dataset.augment,
            generator=seeds.generator(run.seed, "train", device),
            dtype=DTYPES[precision],
            report=report,
            phase="victim",
            checkpoint=checkpoint,
        )
    seconds = time.monotonic() - began
    weights.save(network, out / "model.safetensors")
    figures = metrics.measure(network, splits.test.to(device), run.attack, splits.num_classes, DTYPES[precision])
    pictures.trigger_sheet(run.attack, splits.test, splits.num_classes, out / "trigger.png")
    runs.finish(
        out,
        {
            "stage": "attack",
            "settings": runs.describe(run),
            "device": str(device),
            "precision": precision.value,
            "victim_label": run.victim.label,
            "figures": figures,
            "counts": {"train": len(splits.train), "test": len(splits.test), "poisoned": len(index)},
            "seconds": {"train": seconds},
            "digests": {
                "train": splits.train.digest(),
                "test": splits.test.digest(),
                "poisoned": hashlib.sha256(index.numpy().tobytes()).hexdigest(),
                "weights": file_digest(out / "model.safetensors"),
            },
        },
    )
    logs.show(tables.figures([("victim", figures, seconds)]), out)


def defend(run: DefendRun, out: Path) -> None:
    """Train the victim if it is missing, hand the evidence to the defense, measure before and after."""
    victim = perform("attack", as_attack(run))
    device, precision = _machine(run)
    splits = run.dataset.load()
    clean = clean_share(splits.train, run.dataset.clean_ratio, run.dataset.clean_seed)
    before = runs.results(victim)
    logs.header(
        "nba defend",
        _about(run, splits)
        | {
            "poisoned": _poison_note(run.attack, before["counts"]["poisoned"], len(splits.train)),
            "defense": f"{runs.kind(run.defense)}, sees {len(clean):,} clean images "
            f"({run.dataset.clean_ratio:.4g} of the training set)",
            "device": devices.describe(device, precision),
            "folder": str(out),
        },
    )
    network = run.victim.build(splits.num_classes, splits.train)
    weights.load(network, victim / "model.safetensors")
    evidence = Evidence(
        model=network.to(device),
        clean=clean.to(device),
        num_classes=splits.num_classes,
        augment=run.dataset.augment,
        dtype=DTYPES[precision],
    )
    began = time.monotonic()
    with logs.Bars(runs.History(out / "history.jsonl", resume=False)) as report:
        cured = run.defense(evidence, seeds.generator(run.defense_seed, "defense", device), report)
    seconds = time.monotonic() - began
    weights.save(cured, out / "model.safetensors")
    figures = metrics.measure(cured, splits.test.to(device), run.attack, splits.num_classes, DTYPES[precision])
    der = metrics.der(before["figures"], figures)
    pictures.trigger_sheet(run.attack, splits.test, splits.num_classes, out / "trigger.png")
    runs.finish(
        out,
        {
            "stage": "defend",
            "settings": runs.describe(run),
            "device": str(device),
            "precision": precision.value,
            "victim_label": run.victim.label,
            "figures": figures,
            "before": before["figures"],
            "der": der,
            "counts": before["counts"] | {"clean": len(clean)},
            "seconds": before["seconds"] | {"defense": seconds},
            "digests": before["digests"]
            | {
                "clean": clean.digest(),
                "victim": before["digests"]["weights"],
                "weights": file_digest(out / "model.safetensors"),
            },
            "victim": str(victim),
            "victim_commit": before["made"]["commit"],
        },
    )
    rows = [("before", before["figures"], None), ("after", figures, seconds)]
    logs.show(tables.figures(rows, der), out)


def evaluate(run: EvaluateRun, out: Path) -> None:
    """Measure the model of a finished run, or bare weights, under a trigger."""
    device, precision = _machine(run)
    subject, file = runs.suspect(run)
    splits = subject.dataset.load()
    logs.header(
        "nba evaluate",
        _about(subject, splits)
        | {
            "weights": str(file),
            "device": devices.describe(device, precision),
            "folder": str(out),
        },
    )
    network = subject.victim.build(splits.num_classes, splits.train)
    weights.load(network, file)
    began = time.monotonic()
    figures = metrics.measure(
        network.to(device), splits.test.to(device), subject.attack, splits.num_classes, DTYPES[precision]
    )
    seconds = time.monotonic() - began
    pictures.trigger_sheet(subject.attack, splits.test, splits.num_classes, out / "trigger.png")
    runs.finish(
        out,
        {
            "stage": "evaluate",
            "settings": runs.describe(subject),
            "device": str(device),
            "precision": precision.value,
            "victim_label": subject.victim.label,
            "figures": figures,
            "counts": {"test": len(splits.test)},
            "seconds": {"evaluate": seconds},
            "digests": {"test": splits.test.digest(), "weights": file_digest(file)},
            "model": str(file),
        },
    )
    logs.show(tables.figures([("model", figures, seconds)]), out)


STAGES = {"attack": attack, "defend": defend, "evaluate": evaluate}


def _machine(run: Machine) -> tuple[torch.device, devices.Precision]:
    device = devices.resolve(run.device)
    devices.prepare(device)
    return device, devices.resolve_precision(run.precision, device)


def _about(run: AttackRun, splits: Splits) -> dict[str, str]:
    shape = "x".join(map(str, splits.test.images.shape[1:]))
    return {
        "runs": f"{runs.kind(run.attack)} on {run.victim.label}, seed {run.seed}",
        "data": f"{runs.kind(run.dataset)}: {len(splits.train):,} training and {len(splits.test):,} test images "
        f"{shape}, {splits.num_classes} classes",
    }


def _poison_note(attack: Attack, count: int, total: int) -> str:
    if not count:
        return "no image: a clean victim"
    whole = f"class {attack.target}" if attack.mode is Mode.clean_label else f"the {total:,} training images"
    wanted = "label + 1" if attack.mode is Mode.all2all else f"class {attack.target}"
    return f"{count:,} images ({100 * attack.rate:.4g} % of {whole}), {attack.mode.value} -> {wanted}"
