"""Finished runs as rows: every setting and every figure of `metrics.json` by a dotted path."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from nba_cli import options
from nba_cli.data import Dataset
from nba_cli.runs import folder
from nba_cli.runs.plain import to_plain, version_of
from nba_cli.runs.registry import GROUPS
from nba_cli.runs.settings import RUNS, DefendRun, default_of

SEEDS = (*options.seed_names(DefendRun), *(f"dataset.{name}" for name in options.seed_names(Dataset)))
"""Runs that differ in these alone are repetitions of one another."""

IDLE = (*options.idle_names(DefendRun), *(f"dataset.{name}" for name in options.idle_names(Dataset)))
"""Settings that change no figure."""

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


@dataclass(frozen=True)
class Record:
    """One finished run."""

    folder: Path
    metrics: dict[str, Any]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting by dotted path, see `named`; what an older record does not know yet was at its default."""
        stage, settings = self.metrics["stage"], self.metrics["settings"]
        kinds = tuple((group, settings[group]["kind"]) for group in GROUPS if group in settings)
        versions = {f"{group}.version": version_of(group, settings[group]) for group, _ in kinds}
        flat = named(settings, self.metrics.get("victim_label"))
        return defaults(stage, kinds) | flat | versions | {"stage": stage, "precision": self.metrics.get("precision")}

    @property
    def seeds(self) -> tuple:
        """The seeds of this repetition."""
        return tuple(self.settings.get(name) for name in SEEDS)

    @property
    def victim_seed(self) -> Any:
        """What tells its victim from others of the same settings; None for weights of unknown origin."""
        return self.settings.get("seed")

    def figure(self, name: str) -> float | None:
        """A number of `metrics.json`, by its short name or dotted path; None where it has none."""
        value: Any = self.metrics
        if name == "seconds":
            name = {"defend": "seconds.defense", "attack": "seconds.train"}.get(
                self.metrics["stage"], "seconds.evaluate"
            )
        for key in SHORT.get(name, name).split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value if isinstance(value, (int, float)) else None


@cache
def defaults(stage: str, kinds: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The default settings of a run with these kinds of parts, by dotted path; of kinds that are registered."""
    plain: dict[str, Any] = {}
    if stage != "evaluate":  # of bare weights nobody knows how they were trained
        plain = {name: value for name, value in defaults_of(RUNS[stage]).items() if name not in GROUPS}
    for group, kind in kinds:
        if kind in GROUPS[group]:
            plain[group] = {"kind": kind} | defaults_of(GROUPS[group][kind])
    return named(plain, None)


def defaults_of(cls: type) -> dict[str, Any]:
    """Option -> its default, as plain nested values."""
    return {option.name: to_plain(default_of(option)) for option in dataclasses.fields(cls)}


def named(settings: Mapping, victim: str | None) -> dict[str, Any]:
    """Nested settings by dotted path; a part's own path ("attack") gives its name, that of a victim its label."""
    flat = dict(flatten(settings))
    for part in GROUPS:
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


def read_all(root: Path, stages: Sequence[str] = ("attack", "defend", "evaluate")) -> list[Record]:
    """All finished runs under a folder of runs, in the order of their names."""
    files = [file for stage in stages for file in sorted((root / stage).glob(f"*/{folder.METRICS}"))]
    return [read_one(file.parent) for file in files]


def read_one(out: Path) -> Record:
    """A finished run."""
    return Record(out, folder.read_metrics(out))


def to_text(value: Any) -> str:
    """A setting as one writes it on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + ",".join(map(to_text, value)) + "]" if isinstance(value, list) else str(value)


def distinguishing(record: Record, others: Sequence[Record], kinds: Sequence[str]) -> dict[str, Any]:
    """The settings, seeds too, that tell a run from those of the same kinds: settings of another kind always differ."""
    peers = [other for other in others if all(other.settings.get(name) == record.settings.get(name) for name in kinds)]
    seeds = [name for name in SEEDS if len({to_text(other.settings.get(name)) for other in peers}) > 1]
    own = [name for name in [*differing(peers), *seeds] if name in record.settings and name != "stage"]
    return {name: record.settings[name] for name in own}


def differing(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Setting -> its values, of those settings in which records differ: seeds and idle ones left out."""
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for record in records for name in record.settings):
        if name in SEEDS or name in IDLE:
            continue
        values = {to_text(record.settings.get(name)): record.settings.get(name) for record in records}
        if len(values) > 1:
            found[name] = list(values.values())
    return found
