"""Finished runs, read from their folders, and what is known of others before they are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from sys import intern
from typing import Any

from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.runs import folder
from nba_cli.runs.declared import declared
from nba_cli.runs.record import Record, named
from nba_cli.runs.sound import flatten
from nba_cli.runs.versions import version_of


def read_all(root: Path, stages: Sequence[str] = ("attack", "defend", "evaluate")) -> list[Record]:
    """All finished runs under a folder of runs, in the order of their names."""
    return read(file.parent for stage in stages for file in sorted((root / stage).glob(f"*/{folder.METRICS}")))


def read(folders: Iterable[Path]) -> list[Record]:
    """The finished runs in these folders; one whose record is damaged is left out, with a warning."""
    known: dict[str, Any] = {}
    found = []
    for out in folders:
        try:
            found.append(read_one(out, known))
        except Refused as error:
            LOG.warning(f"left out: {error}")
    return found


def read_one(out: Path, known: dict[str, Any] | None = None) -> Record:
    """A finished run. What it has in common with others is taken from `known`, and put there for those to come.

    Raises:
        Refused: its record is damaged.
    """
    try:
        return made_of(out, folder.read_metrics(out), {} if known is None else known)
    except (KeyError, TypeError, AttributeError) as error:  # settings of a shape that no run has
        raise folder.damaged(out / folder.METRICS, f"{type(error).__name__}: {error}") from error


def made_of(out: Path, found: dict[str, Any], known: dict[str, Any]) -> Record:
    (seeds, settings), origin = apart(found.pop("settings")), origin_of(found)
    about = {"stage": found["stage"], "precision": found.get("precision")}
    if found["stage"] == "evaluate":
        about["model"] = found.pop("measured", found.get("model"))  # an older record knows the file alone
    key = repr((settings, found.get("victim_label"), about))  # tells 1 from 1.0 and from true, as tables do
    if key not in known:
        known[key] = recipe(settings, found.get("victim_label"), about)
    return Record(
        folder=out,
        recipe=known[key],
        repetition=known.setdefault(repr(seeds), seeds),
        origin=known.setdefault(repr(origin), origin),
        numbers={intern(path): value for path, value in flatten(found) if isinstance(value, (int, float))},
    )


def expected(out: Path, stage: str, settings: Mapping[str, Any], victim: str | None) -> Record:
    """What a run that is not made yet will say of its settings; of its origin and figures nothing is known, and of its
    precision nothing where the machine that runs it decides.

    Args:
        out: a folder that it may lie in
        stage: attack, defend or evaluate
        settings: nested, as in its `metrics.json`
        victim: its label
    """
    seeds, rest = apart(settings)
    known = recipe(rest, victim, {"stage": stage})
    if known["precision"] == "auto":
        del known["precision"]
    return Record(out, known, seeds, origin_of({}), {})


def apart(settings: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """(seeds by dotted path, the other settings, nested)."""
    seeds, rest = {}, settings
    for name in declared().seeds:
        found = at(settings, name)
        if found is not None:
            seeds[name], rest = found, without(rest, name)
    return seeds, rest


def origin_of(found: dict[str, Any]) -> dict[str, Any]:
    """When and with which code a run was made."""
    made = found.get("made", {})
    own = {name: made.get(name) for name in ("commit", "torch", "processor", "instructions", "threads")}
    return own | {"day": (made.get("date") or "")[:10], "victim_commit": found.get("victim_commit")}


def at(settings: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of nested settings; None where there is none."""
    head, _, tail = path.partition(".")
    return at(settings.get(head, {}), tail) if tail else settings.get(head)


def without(settings: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Nested settings but for what stands at a dotted path."""
    head, _, tail = path.partition(".")
    if tail:
        return {**settings, head: without(settings[head], tail)}
    return {name: value for name, value in settings.items() if name != head}


def recipe(settings: Mapping[str, Any], victim: str | None, about: dict[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted path, with what they do not say: defaults, versions, and `about` them."""
    groups = [group for group in declared().parts if group in settings]
    versions = {f"{group}.version": version_of(group, settings[group]) for group in groups}
    parts = tuple((group, settings[group]["kind"], versions[f"{group}.version"]) for group in groups)
    return defaults(about["stage"], parts) | named(settings, victim) | versions | about


@cache
def defaults(stage: str, parts: tuple[tuple[str, str, int], ...]) -> dict[str, Any]:
    """The default settings of a run with these parts, by dotted path: of kinds that are registered, in that version.

    What another version had for options that its records do not name, nobody knows here.
    """
    plain: dict[str, Any] = {}
    if stage != "evaluate":  # of bare weights nobody knows how they were trained
        plain = {name: value for name, value in declared().stages[stage].items() if name not in declared().parts}
    for group, kind, version in parts:
        if declared().versions[group].get(kind) == version:
            plain[group] = {"kind": kind} | declared().parts[group][kind]
    return named(plain, None)
