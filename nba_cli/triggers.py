"""Learned triggers: made once for all runs that need them, kept by content, and a copy with every victim."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save as serialize

from attacks import Attack, Learned, poisoned_index
from attacks.learned import TRAIN_ONLY, Lesson, Tensors
from nba_cli import files, logs, runs, schema, weights
from nba_cli.bench import Bench
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


def folder(run: schema.AttackRun) -> Path:
    """Where a crafted trigger is kept: named by what it is learned from."""
    attack = run.attack
    assert isinstance(attack, Learned)
    shaping = {key: value for key, value in runs.shaping(attack, "attack").items() if key not in attack.unshaped}
    content = json.dumps([shaping, runs.name("attack", schema.as_clean(run))], sort_keys=True)
    name = f"{runs.kind(run.dataset)}-{run.victim.label}-{runs.kind(attack)}-s{run.seed}"
    return Path(run.output) / "trigger" / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"


def equip(run: schema.AttackRun, bench: Bench, helper: Callable[[], Network]) -> float:
    """Give the run's attack its trigger, learned now or found; returns the seconds that learning took, 0 if none."""
    attack = run.attack
    if not isinstance(attack, Learned) or attack.made is not None:
        return 0.0
    if not attack.crafted:
        attack.made = _learn(attack, run, bench, helper) or None
        return 0.0
    out = folder(run)
    with runs.locked(out, Path(run.output)):
        if not (out / "record.json").is_file():
            clean = helper()  # before the clock: a clean victim is worth having anyway, and trained only once
            began = time.monotonic()
            made = _learn(attack, run, bench, lambda: clean)
            files.write(out / FILE, serialize(made))
            files.write(out / "record.json", json.dumps({"seconds": time.monotonic() - began}) + "\n")
        attack.made = weights.read(out / FILE)
        return json.loads((out / "record.json").read_text())["seconds"]


def _learn(attack: Learned, run: schema.AttackRun, bench: Bench, helper: Callable[[], Network]) -> Tensors:
    train, num_classes = bench.splits.train, bench.splits.num_classes
    with logs.Bars() as report:
        return attack.learn(
            Lesson(
                train=train,
                index=poisoned_index(attack, train, num_classes, run.seed),
                num_classes=num_classes,
                seed=run.seed,
                helper=helper,
                device=bench.device,
                dtype=bench.dtype,
                report=report,
            )
        )


def keep(attack: Attack, out: Path) -> dict[str, str]:
    """Write what testing needs of a learned trigger beside the victim; returns its digest for the record."""
    if not isinstance(attack, Learned) or attack.made is None:
        return {}
    files.write(
        out / FILE, serialize({name: value for name, value in attack.made.items() if not name.startswith(TRAIN_ONLY)})
    )
    return {"trigger": digest(attack.made)}


def adopt(attack: Attack, partner: Partner) -> None:
    """What was trained beside the victim is the trigger."""
    assert isinstance(attack, Learned)
    attack.made = {name: value.detach().cpu() for name, value in partner.module.state_dict().items()}


def recall(attack: Attack, file: Path) -> None:
    """Load a trigger that `keep` wrote into `attack`.

    Raises:
        Refused: the file is missing or damaged.
    """
    if isinstance(attack, Learned):
        attack.made = weights.read(file)


def find(run: schema.AttackRun, bench: Bench, helper: Callable[[], Network]) -> None:
    """The trigger for measuring a model under an attack that it was not trained with: kept, or learned as for `run`.

    Raises:
        Refused: the trigger comes into being with its victim, and that run is not finished.
    """
    if not (isinstance(run.attack, Learned) and run.attack.joint):
        equip(run, bench, helper)
        return
    victim = runs.folder("attack", schema.as_attack(run))
    if not runs.finished(victim):
        name = runs.kind(run.attack)
        raise Refused(
            f"attack={name}: this trigger is trained together with its victim, and {victim} is not finished. "
            f"Run nba attack attack={name} with the same settings first, or give trigger=FILE."
        )
    recall(run.attack, victim / FILE)
