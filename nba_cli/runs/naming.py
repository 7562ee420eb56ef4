"""The names of run folders: equal settings, equal name, whatever the order of the overrides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attacks import Helped, Learned
from nba_cli import files, options
from nba_cli.defenses import NBA
from nba_cli.devices import Precision
from nba_cli.errors import Refused
from nba_cli.files import digest_of, file_digest
from nba_cli.runs import folder
from nba_cli.runs.derived import as_attack, as_helper, unseeded
from nba_cli.runs.plain import precision_of, read_run, to_plain, trained_on
from nba_cli.runs.registry import GROUPS, KINDS, kind
from nba_cli.runs.settings import (
    AttackRun,
    Budget,
    DefendRun,
    EvaluateRun,
    Machine,
    PreviewRun,
    default_of,
)


def folder_of(stage: str, run: Machine) -> Path:
    """The folder of a run, below its `output`."""
    return Path(run.output) / name(stage, run)


def name(stage: str, run: Machine) -> str:
    """`<stage>/<readable head>-<digest>`."""
    return f"{stage}/{NAMES[stage](run)}"


def shaping(value: Any, stage: str) -> Any:
    """The settings that shape the result of `stage`.

    Fields at their default are left out, so that a field added later keeps old names; parts carry their name,
    version and, where a file makes their content, its digest.
    """
    if not dataclasses.is_dataclass(value):
        return to_plain(value)
    found: dict[str, Any] = {}
    if type(value) in KINDS:
        found = {"kind": kind(value), "version": type(value).version}  # type: ignore[attr-defined]
        if content := getattr(value, "identity", str)():
            found["content"] = content
    for option in dataclasses.fields(value):
        current = getattr(value, option.name)
        if options.is_file(option, current):
            continue
        if options.names_run(option, stage) and (type(current) in KINDS or current != default_of(option)):
            found[option.name] = shaping(current, stage)
    return found


def short_digest(content: Any) -> str:
    """Ten hex digits that tell plain nested values apart."""
    return files.seal(content)[:10]


def _joined(stage: str, run: AttackRun, more: list[str], settings: dict[str, Any]) -> str:
    """The head of a run that has a victim, `more` that a person wants to read, and the digest of its settings."""
    settings = settings | {"precision": run.resolved_precision().value}
    head = [kind(run.dataset), run.victim.label, kind(run.attack), *more]
    return "-".join([*head, short_digest([stage, settings])])


def _attack_name(run: AttackRun) -> str:
    run = as_attack(run)  # the victim of a defense has the name of the attack run that makes it
    return _joined("attack", run, [f"s{run.seed}"], shaping(run, "attack"))


def _defend_name(run: DefendRun) -> str:
    settings, more = shaping(run, "defend"), [f"s{run.seed}"]
    if run.budget is Budget.equal:  # to NBA's default, which a new version of it changes
        settings["nba"] = NBA.version
    if run.victims is not None and (trained := precision_of(kept_victim(run))) is not run.resolved_precision():
        settings["victim_precision"] = trained.value
    if run.weights is not None:  # how it was trained is not known
        more = ["weights"]
        settings = {key: value for key, value in settings.items() if key not in ("train", "seed")}
        given = {"weights": run.weights, "trigger": run.trigger}
        settings["weights"] = [digest_of(option, file) for option, file in given.items() if file is not None]
    return _joined("defend", run, [*more, kind(run.defense), f"d{run.defense_seed}"], settings)


def _evaluate_name(run: EvaluateRun) -> str:
    measured, file = subject(run)
    settings = {part: shaping(getattr(measured, part), "evaluate") for part in ("attack", "victim", "dataset")}
    settings["weights"] = file_digest(file)
    if run.trigger is not None:
        settings["trigger"] = digest_of("trigger", run.trigger)
    elif run.run is not None and isinstance(measured.attack, Learned):  # learned as for that run
        settings["learned"] = shaping(as_attack(measured), "attack")
    return _joined("evaluate", measured, [], settings)


def _preview_name(run: PreviewRun) -> str:
    shown = "all" if run.attack is None else kind(run.attack)
    return f"{kind(run.dataset)}-{shown}-{short_digest(['preview', shaping(run, 'preview')])}"


NAMES = cast(
    dict[str, Callable[[Machine], str]],
    {"attack": _attack_name, "defend": _defend_name, "evaluate": _evaluate_name, "preview": _preview_name},
)


def kept_victim(run: DefendRun) -> Path:
    """The folder below `run.victims` of the finished victim of these settings.

    It may have been trained in another precision than the run's, on another machine; one of the run's goes first.

    Raises:
        Refused: none lies there.
    """
    own = run.resolved_precision()
    for precision in (own, *(each for each in Precision if each not in (own, Precision.auto))):
        out = folder_of("attack", as_attack(run, output=str(run.victims), precision=precision))
        if folder.finished(out):
            return out
    raise Refused(
        f"victims={run.victims}: no finished victim with these settings lies there (attack={kind(run.attack)} "
        f"seed={run.seed} …). Without victims= it is trained."
    )


def subject(run: EvaluateRun) -> tuple[AttackRun, Path]:
    """What an evaluation measures: attack, victim and data set resolved, and the weights file.

    Raises:
        Refused: the folder is not a finished run, or bare weights come without their victim and data set.
    """
    carried = ("device", "precision", "output", "logger")
    changes: dict[str, Any] = {name: getattr(run, name) for name in carried}
    parts = {part: found for part in ("attack", "victim", "dataset") if (found := getattr(run, part)) is not None}
    if run.run is not None:
        if not folder.finished(Path(run.run)):
            raise Refused(f"run={run.run}: no finished run lies there.")
        base = read_run(Path(run.run), **parts)
        trained, reserved = trained_on(Path(run.run))
        if base.dataset.reserved and (kind(base.dataset), base.dataset.reserved) != (trained, reserved):
            raise Refused(
                f"dataset.reserved={base.dataset.reserved}: {run.run} was trained with dataset={trained} "
                f"dataset.reserved={reserved}, so nobody knows whether it has seen those images."
            )
        if run.precision is Precision.auto:  # measured as it was trained
            changes["precision"] = precision_of(Path(run.run))
        return dataclasses.replace(base, **changes), Path(run.run) / folder.WEIGHTS
    if run.victim is None or run.dataset is None:
        lacking = [f"{name}=…" for name in ("victim", "dataset") if getattr(run, name) is None]
        raise Refused(
            f"weights={run.weights}: this file does not say what its weights belong to. "
            f"Add {' and '.join(lacking)} (and attack=… for ASR and RA)."
        )
    return AttackRun(**({"attack": GROUPS["attack"]["none"]()} | changes | parts)), Path(str(run.weights))


def measured_name(run: EvaluateRun) -> str:
    """What an evaluation measures: a name that repetitions of the measured run share; of bare weights, their file's."""
    if run.run is None:
        return Path(str(run.weights)).name
    trained = unseeded(dataclasses.replace(read_run(Path(run.run)), precision=precision_of(Path(run.run))))
    stage, more = "attack", []
    if isinstance(trained, DefendRun):
        stage, more = "defend", [kind(trained.defense)]
    return _joined(stage, trained, more, shaping(trained, stage))


def trigger_folder(run: AttackRun) -> Path:
    """The folder that holds a crafted trigger, named by what it is learned from."""
    attack = run.attack
    assert isinstance(attack, Learned)
    settings = {key: value for key, value in shaping(attack, "attack").items() if key not in attack.unshaped}
    source: list = [shaping(run.dataset, "attack"), run.seed]
    head = [kind(run.dataset), kind(attack), f"s{run.seed}"]
    if isinstance(attack, Helped) and attack.helped:
        source.append(name("attack", as_helper(run)))
        head.insert(1, run.victim.label)
    return (
        Path(run.output)
        / "trigger"
        / "-".join([*head, short_digest([settings, source, run.resolved_precision().value])])
    )
