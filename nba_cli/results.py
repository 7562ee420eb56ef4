"""Finished runs as rows: every setting and every figure of `metrics.json` by a dotted path."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from nba_cli import runs, schema
from nba_cli.errors import Refused, did_you_mean

SEEDS = ("seed", "defense_seed", "dataset.clean_seed")
"""Runs that differ in these alone are repetitions of one another."""

SHORT = {
    "acc": "figures.acc",
    "asr": "figures.asr",
    "ra": "figures.ra",
    "floor": "reference.asr",
    "reference": "reference.ra",
    "forward": "passes.forward",
    "backward": "passes.backward",
}
"""Short name of a figure -> where it stands in `metrics.json`."""

IDLE = ("output", "overwrite", "device", "reference", "snapshots", "dataset.root", "dataset.device")
"""Settings that change no figure."""


@dataclass(frozen=True)
class Result:
    """One finished run."""

    folder: Path
    found: dict[str, Any]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting by dotted path, see `named`; what an older record does not know yet was at its default."""
        stage, settings = self.found["stage"], self.found["settings"]
        kinds = tuple((group, settings[group]["kind"]) for group in schema.GROUPS if group in settings)
        flat = named(settings, self.found.get("victim_label"))
        return defaults(stage, kinds) | flat | {"stage": stage, "precision": self.found.get("precision")}

    @property
    def unit(self) -> tuple:
        """The seeds of this repetition."""
        return tuple(self.settings.get(name) for name in SEEDS)

    def figure(self, name: str) -> float | None:
        """A number of `metrics.json`, by its short name or dotted path; None where it has none."""
        value: Any = self.found
        if name == "seconds":
            name = {"defend": "seconds.defense", "attack": "seconds.train"}.get(self.found["stage"], "seconds.evaluate")
        for key in SHORT.get(name, name).split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value if isinstance(value, (int, float)) else None


@cache
def defaults(stage: str, kinds: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The settings of a run of these kinds that nobody touched, by dotted path; of kinds that are registered."""
    plain: dict[str, Any] = {}
    if stage != "evaluate":  # of bare weights nobody knows how they were trained
        fields = [field for field in dataclasses.fields(schema.RUNS[stage]) if field.name not in schema.GROUPS]
        plain = {field.name: runs.describe(runs.standard(field)) for field in fields}
    for group, kind in kinds:
        if kind in schema.GROUPS[group]:
            plain[group] = {"kind": kind} | {
                field.name: runs.describe(runs.standard(field))
                for field in dataclasses.fields(schema.GROUPS[group][kind])
            }
    return named(plain, None)


def named(settings: Mapping, victim: str | None) -> dict[str, Any]:
    """Nested settings by dotted path; a part's own path ("attack") gives its name, that of a victim its label."""
    flat = dict(flatten(settings))
    for part in schema.GROUPS:
        if f"{part}.kind" in flat:
            flat[part] = flat.pop(f"{part}.kind")
    return flat | ({"victim": victim} if victim else {})


def flatten(value: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested dicts -> (dotted path, value)."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flatten(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def read(root: Path, stages: Sequence[str] = ("attack", "defend", "evaluate")) -> list[Result]:
    """All finished runs under a folder of runs, in the order of their names."""
    files = [file for stage in stages for file in sorted((root / stage).glob("*/metrics.json"))]
    return [one(file.parent) for file in files]


def one(folder: Path) -> Result:
    """A finished run."""
    return Result(folder, json.loads((folder / "metrics.json").read_text(encoding="utf-8")))


def text(value: Any) -> str:
    """A setting as one writes it on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + ",".join(map(text, value)) + "]" if isinstance(value, list) else str(value)


def asked(command: str, words: Iterable[str], options: Container[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """`option=value` words of a command -> (its options, the settings to filter by).

    Raises:
        Refused: a word without "=".
    """
    given: dict[str, str] = {}
    filters: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Refused(f"nba {command} {word}: options are written option=value. nba {command} --help lists them.")
        if name in options:
            given[name] = value
        else:
            filters[name] = [value] if value.startswith("[") else value.split(",")
    return given, filters


def among(value: str, wanted: Sequence[str]) -> bool:
    """Whether a setting is one of those asked for: as text, or as a number (20 is 20.0, 1e-5 is 1e-05)."""
    if value in wanted:
        return True
    try:
        return float(value) in [float(word) for word in wanted]
    except ValueError:
        return False


def fits(settings: Mapping[str, Any], filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether each setting that is filtered by has one of the values asked for."""
    return all(among(text(settings.get(name)), wanted) for name, wanted in filters.items())


def fitting(
    command: str, found: list[Result], filters: Mapping[str, Sequence[str]], options: Iterable[str]
) -> list[Result]:
    """The results whose settings have one of the values that are asked for, as text.

    Raises:
        Refused: a filter that is a setting of none of them; `options` of the command are suggested too.
    """
    known = {name for result in found for name in result.settings}
    for name in filters:
        if found and name not in known:
            near = did_you_mean(name, known | set(options))
            raise Refused(f"{name}: no option of nba {command}, and no setting of these runs. {near}")
    return [result for result in found if fits(result.settings, filters)]


def telling(result: Result, others: Sequence[Result], kinds: Sequence[str]) -> dict[str, Any]:
    """The settings, seeds too, that tell a run from those of the same kinds: settings of another kind always differ."""
    peers = [other for other in others if all(other.settings.get(name) == result.settings.get(name) for name in kinds)]
    seeds = [name for name in SEEDS if len({text(other.settings.get(name)) for other in peers}) > 1]
    own = [name for name in [*differing(peers), *seeds] if name in result.settings and name != "stage"]
    return {name: result.settings[name] for name in own}


def differing(results: Sequence[Result]) -> dict[str, list[Any]]:
    """Setting -> its values, of those settings in which results differ: seeds and idle ones left out."""
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for result in results for name in result.settings):
        if name in SEEDS or name in IDLE:
            continue
        values = {text(result.settings.get(name)): result.settings.get(name) for result in results}
        if len(values) > 1:
            found[name] = list(values.values())
    return found
