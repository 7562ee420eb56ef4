"""Typed runs as plain nested values, and back: what config.yaml and metrics.json hold."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import AliasEvent, YAMLError

from nba_cli import files, options
from nba_cli.devices import Precision
from nba_cli.errors import Refused, did_you_mean
from nba_cli.runs import folder, sound
from nba_cli.runs.registry import GROUPS, KINDS, kind
from nba_cli.runs.settings import RUNS, AttackRun
from nba_cli.runs.versions import version_of


def to_plain(value: Any) -> Any:
    """A typed run as plain nested dicts; parts carry their registry name, `kind`, and version."""
    if dataclasses.is_dataclass(value):
        plain = {option.name: to_plain(getattr(value, option.name)) for option in options.recorded(value)}
        about = {"kind": kind(value), "version": type(value).version} if type(value) in KINDS else {}  # type: ignore[attr-defined]
        return about | plain
    if isinstance(value, Enum):
        return value.value
    return [to_plain(item) for item in value] if isinstance(value, list) else value


def from_plain(stage: str, plain: Mapping[str, Any], **instead: Any) -> AttackRun:
    """The run of an attack or defend stage whose settings are `plain` nested values, as `to_plain` gives them.

    `instead` are typed parts that take the place of the recorded ones.

    Raises:
        Refused: a part that is not registered, or of another version: it would not be what was run.
    """
    parts = {
        group: instead[group] if group in instead else part_from_plain(group, plain[group])
        for group in GROUPS
        if group in plain
    }
    rest = {name: value for name, value in plain.items() if name not in GROUPS}
    run = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(RUNS[stage]), parts, rest))
    assert isinstance(run, AttackRun)
    return run


def part_from_plain(group: str, plain: Mapping[str, Any]) -> Any:
    registry, chosen = GROUPS[group], plain["kind"]
    if chosen not in registry:
        raise Refused(f"{group}={chosen}: there is no such {group}. {did_you_mean(chosen, registry)}")
    made, now = version_of(group, plain), registry[chosen].version  # type: ignore[attr-defined]
    values = {name: value for name, value in plain.items() if name not in ("kind", "version")}
    try:
        part = OmegaConf.merge(OmegaConf.structured(registry[chosen]), values)
    except OmegaConfBaseException as error:
        raise other_version(group, chosen, made, now) from error
    if group == "attack" and made != now:
        raise other_version(group, chosen, made, now)
    return part


def other_version(group: str, chosen: str, made: int, now: int) -> Refused:
    return Refused(
        f"{group}={chosen}: this run was made with version {made} of it, and this is version {now}, which works "
        f"differently. Give {group}=… to measure with this version (and trigger=FILE if its trigger is learned)."
    )


def read_config(file: Path) -> dict[str, Any]:
    """The stage and the plain settings in a run's config.yaml, as they stand: what would be filled in is refused.

    Raises:
        Refused: it is damaged, or has interpolations or aliases: no run writes any. The former could read the
            environment, a few lines of the latter stand for more than fits into memory.
    """
    try:
        text = files.regular(file).read_text(encoding="utf-8")
        if any(isinstance(event, AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise folder.damaged(file, "it holds an alias, *...")
        plain = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise folder.damaged(file, str(error).splitlines()[0]) from error
    if not isinstance(plain, dict) or not isinstance(plain.get("stage"), str):
        raise folder.damaged(file, "it does not say of which stage it is")
    if any("${" in text for text in sound.texts(plain)):
        raise folder.damaged(file, "it holds an interpolation, ${...}")
    return cast(dict[str, Any], plain)


def told_apart(config: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """The settings, by dotted path, that a run's config.yaml and its record give differently."""
    one, two = ({name: repr(value) for name, value in sound.flatten(plain)} for plain in (config, recorded))
    return sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))


def read_run(out: Path, **instead: Any) -> AttackRun:
    """The typed run of a finished attack or defend folder, with the parts `instead` in the place of its own.

    Raises:
        Refused: it is not such a folder.
    """
    file = out / folder.CONFIG
    if not file.is_file() or not folder.finished(out):
        raise Refused(f"{out}: not the folder of a finished run (it lacks {folder.CONFIG} or {folder.METRICS}).")
    plain = read_config(file)
    stage = plain.pop("stage")
    if stage not in ("attack", "defend"):
        raise Refused(f"{out}: a run of `nba {stage}` holds no model. Give the folder of an attack or defend run.")
    if differing := told_apart(plain, folder.read_metrics(out)["settings"]):
        raise folder.damaged(file, f"{folder.METRICS} says otherwise about {', '.join(differing[:3])}")
    try:
        return from_plain(stage, plain, **instead)
    except (KeyError, TypeError, ValueError, AttributeError, OmegaConfBaseException) as error:
        raise folder.damaged(file, f"{type(error).__name__}: {str(error).splitlines()[0]}") from error


def trained_on(out: Path) -> tuple[str, int]:
    """The data set of a finished run by name, and how many images of it were reserved.

    Raises:
        Refused: its config does not say it.
    """
    found = read_config(out / folder.CONFIG).get("dataset")
    if not isinstance(found, dict) or not isinstance(name := found.get("kind"), str):
        raise folder.damaged(out / folder.CONFIG, "it does not say on which data set")
    return name, found.get("reserved", 0)


def precision_of(out: Path) -> Precision:
    """What a finished run was computed in.

    Raises:
        Refused: its record names no precision that there is.
    """
    recorded = folder.read_metrics(out)["precision"]
    if recorded not in (known := [each.value for each in Precision]):
        raise folder.damaged(out / folder.METRICS, f"precision={recorded}, not one of {', '.join(known)}")
    return Precision(recorded)
