"""What a weights file from elsewhere says of its model, as settings of the run where the user has left them open."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

from attacks import Attack, Images, Mode, NoAttack, Unknown
from nba_cli.data import DATASETS, Dataset, Folder, TorchvisionSet
from nba_cli.errors import Refused, given_as
from nba_cli.files import file_digest
from nba_cli.runs.registry import kind
from nba_cli.runs.settings import AttackRun, DefendRun, EvaluateRun, Machine, option_names
from nba_cli.victims import Victim, external
from nba_cli.victims.origin import TRIGGERED, Origin


def completed(run: DefendRun | EvaluateRun, given: Collection[str]) -> DefendRun | EvaluateRun:
    """The run with what its weights file says, where the user has `given` no choice and no option (`victim`,
    `victim.mean` ...) that says otherwise.

    Raises:
        Refused: the file cannot be read, or its data set is none of ours and the user gave none.
    """
    file = Path(str(run.weights))
    if not os.path.isfile(file):  # Path.is_file raises where one may not look
        is_folder = os.path.isdir(file)
        raise Refused(f"weights={file}: {'a folder; give the file in it' if is_folder else 'no such file'}.")
    with given_as(f"weights={run.weights}", file):
        origin = said(file, file_digest(file))
    dataset = with_size(unless_given("dataset", own_set(origin), run.dataset, given), origin, given)
    if origin.clean_data is not None and own_set(origin) is None and "dataset" not in given:
        raise Refused(
            f"weights={file}: its data set is {origin.clean_data}, which is none of ours. Give it by dataset=folder "
            "dataset.path=FOLDER, or dataset=npz dataset.path=FILE."
        )
    victim = with_statistics(unless_given("victim", origin.victim, run.victim, given), origin, given)
    numbered = dataset is not None and kind(dataset) == origin.clean_data  # as the triggered images are
    attack = with_goal(attack_of(origin, run.attack, triggered_images(file), numbered, given), origin, given)
    return dataclasses.replace(run, dataset=dataset, victim=victim, attack=attack)


@lru_cache(maxsize=32)
def said(file: Path, digest: str) -> Origin:
    """What a weights file of this digest says; read once a process."""
    return external.read(file).origin


def triggered_images(file: Path) -> Path | None:
    """The folder of triggered test images beside a weights file; None if there is none."""
    folder = file.parent / TRIGGERED
    return folder if folder.is_dir() else None


def why_skipped(run: Machine) -> str | None:
    """Why a sweep skips the run: its attack is for models from elsewhere, and it has none. None: it does not."""
    attack, models = getattr(run, "attack", None), [getattr(run, name, None) for name in ("weights", "run")]
    if isinstance(attack, (Unknown, Images)) and models == [None, None]:
        return f"attack={kind(attack)} is for models from elsewhere"
    return None


def unless_given(group: str, named: Any, now: Any, given: Collection[str]) -> Any:
    """The part that a file names, with the options that the user gave; `now` if it names none or the user chose."""
    own = [word.partition(".")[2] for word in given if word.startswith(f"{group}.")]
    if named is None or group in given or not set(own) <= set(option_names(type(named))):
        return now
    return dataclasses.replace(named, **{option: getattr(now, option) for option in own})


def own_set(origin: Origin) -> Dataset | None:
    """The data set that a file names, if it is one of those that torchvision fetches."""
    cls = DATASETS.get(origin.clean_data or "")
    return cls() if cls is not None and issubclass(cls, TorchvisionSet) else None


def with_size(dataset: Dataset | None, origin: Origin, given: Collection[str]) -> Dataset | None:
    """The images in the file's size, if the user gave none; those of an .npz stay as they are."""
    if not isinstance(dataset, (Folder, TorchvisionSet)) or origin.side is None or "dataset.size" in given:
        return dataset
    return dataclasses.replace(dataset, size=origin.side)


def with_statistics(victim: Victim | None, origin: Origin, given: Collection[str]) -> Victim | None:
    """A victim that normalises as the file's data set implies."""
    if victim is None or origin.statistics is None:
        return victim
    found = dict(zip(("mean", "std"), origin.statistics, strict=True))
    return dataclasses.replace(
        victim, **{name: value for name, value in found.items() if f"victim.{name}" not in given}
    )


def attack_of(
    origin: Origin, now: Attack | None, images: Path | None, numbered: bool, given: Collection[str]
) -> Attack | None:
    """The trigger: that of the user; else the file's triggered `images`, if there are any and the test set is the one
    that they are `numbered` by; else unknown, for the default trigger is none that anybody has put into this model.
    Of a file that says nothing, a word on the attack or an experiment is the user's choice.
    """
    chosen = any(word.partition(".")[0] in ("attack", "experiment") for word in given)
    if origin.target is None and not origin.all2all and (chosen or now is None):
        return now
    theirs = Images(path=str(images)) if images is not None and numbered else Unknown()
    if (taken := unless_given("attack", theirs, now, given)) is not now:
        return taken
    if isinstance(now, Images) and now.path is None and images is not None:
        return dataclasses.replace(now, path=str(images))
    return now


def with_goal(attack: Attack | None, origin: Origin, given: Collection[str]) -> Attack | None:
    """An attack that wants what the file's attacker wants."""
    if attack is None or isinstance(attack, NoAttack):
        return attack
    if origin.target is not None and "attack.target" not in given:
        attack = dataclasses.replace(attack, target=origin.target)
    if origin.all2all and "attack.mode" not in given and Mode.all2all in attack.modes:
        attack = dataclasses.replace(attack, mode=Mode.all2all)
    return attack


def agreement(run: AttackRun, size: tuple[int, int], origin: Origin, file: Path) -> str | None:
    """How the run, on images of `size` (H,W), and what its weights file says compare, in a line; None if the file says
    nothing."""
    theirs, ours = statements(origin), settings(run, size)
    if not theirs:
        return None
    same = {name: value for name, value in theirs.items() if ours.get(name, value) == value}
    other = [f"{name}={ours[name]} (it says {theirs[name]})" for name in theirs if name not in same]
    line = f"{file}: taken as it says: {', '.join(f'{name}={value}' for name, value in same.items()) or 'nothing'}"
    line += f"; otherwise: {', '.join(other)}" if other else ""
    if isinstance(run.attack, Images):
        return f"{line}; triggered test images: {run.attack.path}"
    if not isinstance(run.attack, Unknown) or (origin.target is None and not origin.all2all):
        return line
    if triggered_images(file) is None:
        return f"{line}; its triggered test images ({TRIGGERED}/) are not beside it: no ASR, no RA"
    return f"{line}; its triggered test images are of {origin.clean_data}; attack=images takes them all the same"


def statements(origin: Origin) -> dict[str, str]:
    """What a file says, by the names of our settings."""
    found: dict[str, Any] = {"num_classes": origin.num_classes, "dataset": origin.clean_data}
    found |= {"img_size": origin.side and f"{origin.side}x{origin.side}"}
    found |= {"victim": origin.victim and origin.victim.label, "attack.target": origin.target}
    found |= {"attack.mode": Mode.all2all.value if origin.all2all else None}
    found |= dict(zip(("victim.mean", "victim.std"), origin.statistics or (), strict=False))
    return {name: str(value) for name, value in found.items() if value is not None}


def settings(run: AttackRun, size: tuple[int, int]) -> dict[str, str]:
    """What a run has in the place of a file's `statements`, if it has something there."""
    found: dict[str, Any] = {"dataset": kind(run.dataset), "victim": run.victim.label}
    found |= {"victim.mean": run.victim.mean, "victim.std": run.victim.std, "img_size": f"{size[0]}x{size[1]}"}
    if not isinstance(run.attack, NoAttack):
        found |= {"attack.target": run.attack.target, "attack.mode": run.attack.mode.value}
    return {name: str(value) for name, value in found.items()}
