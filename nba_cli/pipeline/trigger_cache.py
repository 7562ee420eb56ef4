"""Learned triggers: made once for all runs that need them, kept by content, and a copy with every victim.

Every function here returns the attack that is ready to stamp; the run's own attack is never changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save as serialize

from attacks import PARTNER, TRAIN_ONLY, Attack, Helped, Learned, Lesson, poisoned_index, trigger_digest
from nba_cli import files
from nba_cli.console import LOG
from nba_cli.data import Splits
from nba_cli.errors import Refused
from nba_cli.pipeline import room
from nba_cli.pipeline.bars import Bars
from nba_cli.pipeline.workbench import Workbench
from nba_cli.runs import folder
from nba_cli.runs.derived import as_attack
from nba_cli.runs.naming import folder_of, trigger_folder
from nba_cli.runs.registry import kind
from nba_cli.runs.settings import AttackRun
from nba_cli.training import Partner
from nba_cli.victims import Network, weights

COST = "record.json"  # beside a cached trigger: the seconds that learning it took


def prepare(bench: Workbench, helper: Callable[[], Network]) -> tuple[Attack, float]:
    """The run's attack with its trigger, learned now or earlier, and the seconds that learning took; 0 if none.

    What a joint attack learns with its victim is still to come.
    """
    run, attack = bench.run, bench.run.attack
    if not isinstance(attack, Learned) or not attack.crafted:
        return reuse(run, bench.splits), 0.0
    out = trigger_folder(run)
    with folder.locked(out, Path(run.output)):
        if cost(out) is None:
            learn(attack, bench, helper, out)
        return load(attack, cached(out)), (cost(out) or {})["seconds"]


def learn(attack: Learned, bench: Workbench, helper: Callable[[], Network], out: Path) -> None:
    """Craft the trigger and write it to the cache folder `out`, its cost last."""
    train, num_classes, seed = bench.splits.train, bench.splits.num_classes, bench.run.seed
    index = poisoned_index(attack, train, num_classes, seed)  # refused, if at all, before a helper is trained
    model = None
    if isinstance(attack, Helped) and attack.helped:
        check_helper(attack, bench)
        model = helper()  # before the clock: it serves the victims of all seeds
    began = time.monotonic()
    lesson = Lesson(
        train=train,
        index=index,
        num_classes=num_classes,
        seed=seed,
        augment=bench.run.dataset.augment,
        device=bench.device,
        helper=model,
        dtype=bench.dtype,
    )
    with Bars() as progress:
        tensors = attack.learn(lesson, progress)
    files.write(out / folder.TRIGGER, serialize(tensors))
    about = {"seconds": time.monotonic() - began, "digest": files.file_digest(out / folder.TRIGGER)}
    files.write(out / COST, json.dumps(files.sealed(about)) + "\n")


def check_helper(attack: Helped, bench: Workbench) -> None:
    """Refuse a victim that is no helper model for the attack, before it is trained.

    Raises:
        Refused: it lacks what the attack works on.
    """
    network = room.blank(bench.run.victim, bench.splits)
    if network is not None:
        attack.check_helper(network)


def cost(out: Path) -> dict[str, Any] | None:
    """What learning the trigger in the cache folder `out` took; None if it is not there, or damaged."""
    lines = folder.read_lines(out / COST, "seconds")
    if not lines and (out / COST).is_file():
        LOG.warning(f"{out / COST}: damaged; the trigger has to be learned again")
    return lines[0] if lines else None


def cached(out: Path) -> Path:
    """The trigger in the cache folder `out`, which is as it was learned.

    Raises:
        Refused: it is not.
    """
    recorded = (cost(out) or {}).get("digest")
    return files.unchanged(out / folder.TRIGGER, recorded, f"Delete {out} to learn it again.")


def reuse(run: AttackRun, splits: Splits) -> Attack:
    """The run's attack with the trigger that it has without training: drawn from the settings or loaded from the cache.

    Without a trigger if neither is possible.
    """
    attack = run.attack
    if not isinstance(attack, Learned):
        return attack
    if not attack.crafted and not attack.joint:
        images = splits.train.images
        return attack.with_trigger(attack.draw((images.shape[1], images.shape[2], images.shape[3])))
    if attack.joint:
        out = folder_of("attack", as_attack(run))
        return of_run(attack, out) if folder.finished(out) else attack
    out = trigger_folder(run)
    return load(attack, cached(out)) if cost(out) else attack


def add_partner(attack: Attack, partner: Partner) -> Attack:
    """The attack with what was trained beside the victim as a part of its trigger."""
    assert isinstance(attack, Learned)
    found = {PARTNER + name: value.detach().cpu() for name, value in partner.module.state_dict().items()}
    return attack.with_trigger((attack.made or {}) | found)


def save(attack: Attack, out: Path) -> dict[str, str]:
    """Write what testing needs of a learned trigger beside the victim; returns digests of the whole and of the file.

    Of a trigger that is read from a file of the user's, the digest is all that is kept.
    """
    if not isinstance(attack, Learned) or attack.made is None:
        return named(attack)
    kept = {name: value for name, value in attack.made.items() if not name.startswith(TRAIN_ONLY)}
    file = out / folder.TRIGGER
    files.write(file, serialize(kept))
    return named(attack) | {folder.DIGESTS[folder.TRIGGER]: files.file_digest(file)}


def named(attack: Attack) -> dict[str, str]:
    """The digest of a trigger that is drawn, learned or read from files of the user's; nothing where there is no more
    than the settings say, as of `cl` where it is measured.
    """
    if identity := attack.identity():
        return {"trigger": identity}
    made = attack.made if isinstance(attack, Learned) else None
    return {"trigger": trigger_digest(made)} if made else {}


def of_run(attack: Attack, out: Path) -> Attack:
    """The attack with the trigger of the finished run in `out`.

    Raises:
        Refused: the file is missing or damaged, or not what the run wrote; or it is the user's, and has changed since.
    """
    if isinstance(attack, Learned):
        return load(attack, folder.intact(out, folder.TRIGGER))
    now = attack.identity()
    if now and (then := folder.read_metrics(out).get("digests", {}).get("trigger")) not in (None, now):
        raise Refused(
            f"attack={kind(attack)}: the images of its trigger have changed since {out}: their SHA-256 was {then} and "
            f"is {now}. Put them back, or give attack=… to measure with them as they are."
        )
    return attack


def load(attack: Attack, file: Path) -> Attack:
    """The attack with the trigger that `save` wrote to `file`; an attack that learns none is returned as it is.

    Raises:
        Refused: the file is missing or damaged.
    """
    return attack.with_trigger(weights.read(file)) if isinstance(attack, Learned) else attack
