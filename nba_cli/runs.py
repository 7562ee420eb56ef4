"""Run folders: named by their content, locked while in use, finished when `metrics.json` is there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import filelock
import yaml
from omegaconf import OmegaConf

from nba_cli import provenance, schema
from nba_cli.data.sets import file_digest
from nba_cli.errors import Refused, did_you_mean

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
            type(current) in schema.KINDS or current != _default(field)
        ):
            found[field.name] = shaping(current, stage)
    return found


def _default(field: dataclasses.Field) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def name(stage: str, run: schema.Machine) -> str:
    """`<stage>/<readable head>-<digest>`: equal settings, equal name, whatever the order of the overrides."""
    if isinstance(run, schema.EvaluateRun):
        run, file = suspect(run)
        head, settings = [], {"weights": file_digest(file)}
    else:
        assert isinstance(run, schema.AttackRun)
        head, settings = [f"s{run.seed}"], {}
    if stage == "attack":
        run = schema.as_attack(run)
    elif isinstance(run, schema.DefendRun):
        head += [kind(run.defense), f"d{run.defense_seed}"]
    settings |= shaping(run, stage) | {"precision": run.resolved_precision().value}
    digest = hashlib.sha256(json.dumps([stage, settings], sort_keys=True).encode()).hexdigest()[:10]
    return f"{stage}/{'-'.join([kind(run.dataset), run.victim.label, kind(run.attack), *head, digest])}"


def folder(stage: str, run: schema.Machine) -> Path:
    return Path(run.output) / name(stage, run)


def suspect(run: schema.EvaluateRun) -> tuple[schema.AttackRun, Path]:
    """What an evaluation measures: attack, victim and data set resolved, and the weights file.

    Raises:
        Refused: the folder is not a finished run, or bare weights come without their victim and data set.
    """
    if run.run is not None:
        base, file = load(Path(run.run)), Path(run.run) / "model.safetensors"
    else:
        if run.victim is None or run.dataset is None:
            raise Refused(
                f"weights={run.weights}: weights alone do not say what they belong to. "
                "Add victim=… and dataset=… (and attack=… for ASR and RA)."
            )
        base = schema.AttackRun(attack=schema.GROUPS["attack"]["none"](), victim=run.victim, dataset=run.dataset)
        file = Path(str(run.weights))
    resolved = schema.AttackRun(
        attack=run.attack or base.attack,
        victim=run.victim or base.victim,
        dataset=run.dataset or base.dataset,
        device=run.device,
        precision=run.precision,
        output=run.output,
    )
    return resolved, file


def finished(out: Path) -> bool:
    return (out / "metrics.json").is_file()


@contextmanager
def locked(out: Path, root: Path) -> Iterator[None]:
    """Hold the run's lock; whoever needs the same run waits, and then finds it finished."""
    locks = root / ".locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        out.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(locks / f"{out.name}.lock")
        lock.acquire()
    except OSError as error:
        raise Refused(
            f"output={root}: cannot be written ({error.strerror}). Set output=FOLDER to one that can."
        ) from error
    try:
        yield
    finally:
        lock.release()


def write(path: Path, text: str) -> None:
    """Write by rename: there is a whole file or none."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def begin(out: Path, stage: str, run: schema.Machine) -> None:
    """Mark the run unfinished and write down what it is about to do."""
    (out / "metrics.json").unlink(missing_ok=True)
    write(out / "config.yaml", OmegaConf.to_yaml(OmegaConf.create({"stage": stage} | describe(run))))


def discard(out: Path) -> None:
    """Remove the folder of a refused run, unless something was computed in it: a checkpoint or weights."""
    if not any((out / name).exists() for name in ("checkpoint", "model.safetensors")):
        for file in out.iterdir():
            file.unlink()
        out.rmdir()


def load(out: Path) -> schema.AttackRun:
    """The typed run of a finished attack or defend folder.

    Raises:
        Refused: it is not such a folder.
    """
    file = out / "config.yaml"
    if not file.is_file() or not finished(out):
        raise Refused(f"{out}: not the folder of a finished run (it lacks config.yaml or metrics.json).")
    plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    stage = plain.pop("stage")
    if stage not in ("attack", "defend"):
        raise Refused(f"{out}: a run of `nba {stage}` holds no model. Give the folder of an attack or defend run.")
    parts = {group: _rebuild(group, plain.pop(group)) for group in schema.GROUPS if group in plain}
    run = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema.RUNS[stage]), parts, plain))
    assert isinstance(run, schema.AttackRun)
    return run


def _rebuild(group: str, plain: dict) -> Any:
    registry, chosen = schema.GROUPS[group], plain.pop("kind")
    if chosen not in registry:
        raise Refused(f"{group}={chosen}: there is no such {group}. {did_you_mean(chosen, registry)}")
    return OmegaConf.merge(OmegaConf.structured(registry[chosen]), plain)


def finish(out: Path, metrics: dict) -> None:
    """Mark the run finished: `metrics.json` is written last, by rename."""
    (out / "checkpoint").unlink(missing_ok=True)
    write(
        out / "metrics.json",
        json.dumps({"schema": SCHEMA} | metrics | {"made": provenance.provenance()}, indent=2) + "\n",
    )


def results(out: Path) -> dict:
    """The `metrics.json` of a finished run."""
    return json.loads((out / "metrics.json").read_text(encoding="utf-8"))


class History:
    """`history.jsonl`: a line per epoch. Continuing a run drops the lines that its checkpoint has not seen."""

    def __init__(self, file: Path, resume: bool) -> None:
        self.file = file
        self.lines = file.read_text(encoding="utf-8").splitlines() if resume and file.is_file() else []
        self.began = False

    def __call__(self, phase: str, step: int, total: int, scalars: dict[str, float] | None = None) -> None:
        if scalars is None or "epoch" not in scalars:
            return
        if not self.began:
            kept = [line for line in self.lines if json.loads(line)["step"] < step]
            self.file.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
            self.began = True
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"phase": phase, "step": step} | scalars) + "\n")
