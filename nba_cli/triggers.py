"""Learned triggers: made once for all runs that need them, kept by content, and a copy with every victim."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save as serialize

from attacks import Attack, Learned, poisoned_index
from attacks.learned import PARTNER, TRAIN_ONLY, Lesson, Tensors
from nba_cli import files, logs, runs, schema, weights
from nba_cli.bench import Bench
from nba_cli.data import Splits
from nba_cli.errors import Refused
from nba_cli.train import Partner
from nba_cli.victims import Network

FILE = "trigger.safetensors"


def digest(tensors: Tensors) -> str:
    """SHA-256 over names, shapes and values."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        sha.update(tensor.contiguous().numpy().data)
    return sha.hexdigest()


def place(run: schema.AttackRun) -> Path:
    """The folder that holds what is crafted, named by what it is learned from."""
    attack = run.attack
    assert isinstance(attack, Learned)
    shaping = {key: value for key, value in runs.shaping(attack, "attack").items() if key not in attack.unshaped}
    source: list = [runs.shaping(run.dataset, "attack"), run.seed]
    head = [runs.kind(run.dataset), runs.kind(attack), f"s{run.seed}"]
    if attack.helped:
        source.append(runs.name("attack", schema.as_clean(run)))
        head.insert(1, run.victim.label)
    name = "-".join([*head, runs.digest([shaping, source, run.resolved_precision().value])])
    return Path(run.output) / "trigger" / name


def equip(run: schema.AttackRun, bench: Bench, helper: Callable[[], Network]) -> float:
    """Give the run's attack its trigger, learned now or earlier; returns the seconds that learning took, 0 if none.

    What a joint attack learns with its victim is still to come.
    """
    attack = run.attack
    if not isinstance(attack, Learned) or not attack.crafted:
        remember(run, bench.splits)
        return 0.0
    out = place(run)
    with runs.locked(out, Path(run.output)):
        if not (out / "record.json").is_file():
            # before the clock: the clean victim is the reference of every run, not a part of this trigger
            clean = helper() if attack.helped else None
            began = time.monotonic()
            lesson = Lesson(
                train=bench.splits.train,
                index=poisoned_index(attack, bench.splits.train, bench.splits.num_classes, run.seed),
                num_classes=bench.splits.num_classes,
                seed=run.seed,
                device=bench.device,
                helper=clean,
                dtype=bench.dtype,
            )
            with logs.Bars() as report:
                made = attack.learn(lesson, report)
            files.write(out / FILE, serialize(made))
            files.write(out / "record.json", json.dumps({"seconds": time.monotonic() - began}) + "\n")
        attack.made = weights.read(out / FILE)
        return json.loads((out / "record.json").read_text(encoding="utf-8"))["seconds"]


def remember(run: schema.AttackRun, splits: Splits) -> None:
    """Give the run's attack a trigger that costs nothing: drawn, or made by an earlier run. None stays none."""
    attack = run.attack
    if not isinstance(attack, Learned):
        return
    if not attack.crafted and not attack.joint:
        images = splits.train.images
        attack.made = attack.draw((images.shape[1], images.shape[2], images.shape[3]))
        return
    out = runs.folder("attack", schema.as_attack(run)) if attack.joint else place(run)
    if (out / FILE).is_file():
        attack.made = weights.read(out / FILE)


def find(run: schema.EvaluateRun, bench: Bench, helper: Callable[[], Network]) -> None:
    """The trigger that an evaluation measures with: the one given, the model's own, or one learned as for its run.

    Raises:
        Refused: nothing says which trigger is meant, or it comes into being with a victim that is not there.
    """
    attack, name = bench.run.attack, runs.kind(bench.run.attack)
    if run.trigger is None and run.run is not None and run.attack is None:
        recall(attack, Path(run.run) / FILE)
    elif run.trigger is not None or run.run is None:
        take(attack, run.trigger, bench)
    elif isinstance(attack, Learned) and attack.joint:
        remember(bench.run, bench.splits)
        if attack.made is None:
            raise Refused(
                f"attack={name}: its trigger is trained together with a victim, which is not there. "
                f"Run nba attack attack={name} with the same settings first, or give trigger=FILE."
            )
    elif isinstance(attack, Learned) and attack.train_only:
        attack.made = {}
    else:
        equip(bench.run, bench, helper)


def take(attack: Attack, file: str | None, bench: Bench) -> None:
    """The trigger that a user gives, for a model of which nothing else is known; one that is drawn needs no file.

    Raises:
        Refused: a learned one is needed and not given, or what is given does not fit.
    """
    name = runs.kind(attack)
    if not isinstance(attack, Learned):
        if file is not None:
            raise Refused(f"trigger={file}: attack={name} has no trigger that is kept in a file. Leave it out.")
    elif file is not None:
        recall(attack, Path(file))
        try:
            attack.stamp(bench.splits.test.images[:1].float() / 255, torch.zeros(1, dtype=torch.int64))
        except (KeyError, RuntimeError) as error:
            shape = "x".join(map(str, bench.splits.test.images.shape[1:]))
            raise Refused(f"trigger={file}: no trigger of attack={name} as set, on images of {shape}.") from error
    elif attack.train_only:
        attack.made = {}
    elif attack.crafted or attack.joint:
        raise Refused(f"attack={name}: its trigger is learned. Add trigger=FILE: the trigger.safetensors of a run.")
    else:
        remember(bench.run, bench.splits)


def adopt(attack: Attack, partner: Partner) -> None:
    """What was trained beside the victim is a part of the trigger."""
    assert isinstance(attack, Learned)
    found = {PARTNER + name: value.detach().cpu() for name, value in partner.module.state_dict().items()}
    attack.made = (attack.made or {}) | found


def keep(attack: Attack, out: Path) -> dict[str, str]:
    """Write what testing needs of a learned trigger beside the victim; returns its digest for the record."""
    if not isinstance(attack, Learned) or attack.made is None:
        return {}
    kept = {name: value for name, value in attack.made.items() if not name.startswith(TRAIN_ONLY)}
    files.write(out / FILE, serialize(kept))
    return {"trigger": digest(attack.made)}


def recall(attack: Attack, file: Path) -> None:
    """Load a trigger that `keep` wrote.

    Raises:
        Refused: the file is missing or damaged.
    """
    if isinstance(attack, Learned):
        attack.made = weights.read(file)
