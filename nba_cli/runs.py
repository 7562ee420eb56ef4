"""Run folders: named by their content, locked while in use, finished when `metrics.json` is there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, cast

import filelock
import torch
from omegaconf import OmegaConf

from attacks import Learned
from nba_cli import files, provenance, schema
from nba_cli.data.arrays import file_digest
from nba_cli.devices import Precision
from nba_cli.errors import Refused, did_you_mean
from nba_cli.logs import LOG

SCHEMA = 1  # of metrics.json; README documents it


def kind(part: object) -> str:
    """The registry name of an attack, victim, data set or defense."""
    return schema.KINDS[type(part)]


def describe(value: Any) -> Any:
    """A typed run as plain nested dicts, every field included; parts carry their registry name as `kind`."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"kind": kind(value)} | fields if type(value) in schema.KINDS else fields
    if isinstance(value, Enum):
        return value.value
    return [describe(item) for item in value] if isinstance(value, list) else value


def shaping(value: Any, stage: str) -> Any:
    """The settings that shape the result of `stage`.

    Fields at their default are left out, so that a field added later keeps old names; parts carry their name,
    version and, where a file makes their content, its digest.
    """
    if not dataclasses.is_dataclass(value):
        return describe(value)
    found: dict[str, Any] = {}
    if type(value) in schema.KINDS:
        found = {"kind": kind(value), "version": type(value).version}  # type: ignore[attr-defined]
        if content := getattr(value, "identity", str)():
            found["content"] = content
    for field in dataclasses.fields(value):
        current = getattr(value, field.name)
        if stage in field.metadata.get("shapes", (stage,)) and (
            type(current) in schema.KINDS or current != standard(field)
        ):
            found[field.name] = shaping(current, stage)
    return found


def standard(field: dataclasses.Field) -> Any:
    """The default of a dataclass field."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def name(stage: str, run: schema.Machine) -> str:
    """`<stage>/<readable head>-<digest>`: equal settings, equal name, whatever the order of the overrides."""
    if isinstance(run, schema.PreviewRun):
        shown = "all" if run.attack is None else kind(run.attack)
        settings = shaping(run, stage)
        return f"{stage}/{kind(run.dataset)}-{shown}-{digest([stage, settings])}"
    if isinstance(run, schema.EvaluateRun):
        subject, file = suspect(run)
        head = []
        parts = {part: shaping(getattr(subject, part), stage) for part in ("attack", "victim", "dataset")}
        settings = parts | {"weights": file_digest(file)}
        if run.trigger is not None:
            settings["trigger"] = file_digest(Path(run.trigger))
        elif run.run is not None and isinstance(subject.attack, Learned):  # learned as for that run
            settings["learned"] = shaping(schema.as_attack(subject), "attack")
    else:
        assert isinstance(run, schema.AttackRun)
        subject = schema.as_attack(run) if stage == "attack" else run
        head = [f"s{run.seed}"]
        settings = shaping(subject, stage)
    if isinstance(subject, schema.DefendRun) and stage == "defend":
        if subject.weights is not None:  # how it was trained is not known
            head = ["weights"]
            settings = {key: value for key, value in settings.items() if key not in ("train", "seed")}
            files = [file_digest(Path(file)) for file in (subject.weights, subject.trigger) if file is not None]
            settings["weights"] = files
        head += [kind(subject.defense), f"d{subject.defense_seed}"]
    settings["precision"] = subject.resolved_precision().value
    head = [kind(subject.dataset), subject.victim.label, kind(subject.attack), *head, digest([stage, settings])]
    return f"{stage}/{'-'.join(head)}"


def digest(content: Any) -> str:
    """Ten hex digits that tell plain nested values apart."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


def folder(stage: str, run: schema.Machine) -> Path:
    return Path(run.output) / name(stage, run)


def suspect(run: schema.EvaluateRun) -> tuple[schema.AttackRun, Path]:
    """What an evaluation measures: attack, victim and data set resolved, and the weights file.

    Raises:
        Refused: the folder is not a finished run, or bare weights come without their victim and data set.
    """
    changes = {"device": run.device, "precision": run.precision, "output": run.output}
    changes |= {part: found for part in ("attack", "victim", "dataset") if (found := getattr(run, part)) is not None}
    if run.run is not None:
        folder = Path(run.run)
        base = load(folder)
        if run.precision is Precision.auto:  # measured as it was trained
            changes["precision"] = Precision(results(folder)["precision"])
        return dataclasses.replace(base, **changes), folder / "model.safetensors"
    if run.victim is None or run.dataset is None:
        raise Refused(
            f"weights={run.weights}: weights alone do not say what they belong to. "
            "Add victim=… and dataset=… (and attack=… for ASR and RA)."
        )
    return schema.AttackRun(**({"attack": schema.GROUPS["attack"]["none"]()} | changes)), Path(str(run.weights))


def finished(out: Path) -> bool:
    return (out / "metrics.json").is_file()


@contextmanager
def locked(out: Path, root: Path) -> Iterator[None]:
    """Hold the run's lock; whoever needs the same run waits, and then finds it finished."""
    locks = root / ".locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(locks / f"{out.name}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            LOG.info(f"waiting: another process works on {out}")
            lock.acquire()
        out.mkdir(parents=True, exist_ok=True)  # now: whoever held the lock may have removed a refused run
    except OSError as error:
        raise Refused(
            f"output={root}: cannot be written ({error.strerror}). Set output=FOLDER to one that can."
        ) from error
    try:
        yield
    finally:
        lock.release()


def begin(out: Path, stage: str, run: schema.Machine) -> None:
    """Mark the run unfinished and write down what it is about to do; called when nothing can be refused any more."""
    (out / "metrics.json").unlink(missing_ok=True)
    (out / "curve.jsonl").unlink(missing_ok=True)  # of an earlier run with snapshots
    if run.overwrite:
        (out / "checkpoint").unlink(missing_ok=True)
    files.write(out / "config.yaml", OmegaConf.to_yaml(OmegaConf.create({"stage": stage} | describe(run))))


def discard(out: Path) -> None:
    """Remove the folder of a refused run, unless something was computed in it: a checkpoint, weights or a result."""
    if not any((out / name).exists() for name in ("checkpoint", "model.safetensors", "metrics.json")):
        shutil.rmtree(out)


def load(out: Path) -> schema.AttackRun:
    """The typed run of a finished attack or defend folder.

    Raises:
        Refused: it is not such a folder.
    """
    file = out / "config.yaml"
    if not file.is_file() or not finished(out):
        raise Refused(f"{out}: not the folder of a finished run (it lacks config.yaml or metrics.json).")
    plain = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file)))
    stage = plain.pop("stage")
    if stage not in ("attack", "defend"):
        raise Refused(f"{out}: a run of `nba {stage}` holds no model. Give the folder of an attack or defend run.")
    return typed(stage, plain)


def typed(stage: str, plain: dict[str, Any]) -> schema.AttackRun:
    """The run of an attack or defend stage whose settings are `plain` nested values, as `describe` gives them."""
    plain = dict(plain)
    parts = {group: _rebuild(group, dict(plain.pop(group))) for group in schema.GROUPS if group in plain}
    run = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema.RUNS[stage]), parts, plain))
    assert isinstance(run, schema.AttackRun)
    return run


def _rebuild(group: str, plain: dict) -> Any:
    registry, chosen = schema.GROUPS[group], plain.pop("kind")
    if chosen not in registry:
        raise Refused(f"{group}={chosen}: there is no such {group}. {did_you_mean(chosen, registry)}")
    return OmegaConf.merge(OmegaConf.structured(registry[chosen]), plain)


def finish(out: Path, metrics: dict, device: torch.device) -> None:
    """Mark the run finished: `metrics.json` is written last, by rename."""
    (out / "checkpoint").unlink(missing_ok=True)
    files.write(
        out / "metrics.json",
        json.dumps({"schema": SCHEMA} | metrics | {"made": provenance.provenance(device)}, indent=2) + "\n",
    )


def amend(out: Path, more: dict) -> None:
    """Add measurements to the record of a finished run; what made it stays as it is."""
    files.write(out / "metrics.json", json.dumps(results(out) | more, indent=2) + "\n")


def results(out: Path) -> dict:
    """The `metrics.json` of a finished run."""
    return json.loads((out / "metrics.json").read_text(encoding="utf-8"))
