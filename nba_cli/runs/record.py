"""Finished runs as rows: every setting and every number of `metrics.json` by a dotted path."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nba_cli.runs.declared import declared
from nba_cli.runs.sound import flatten

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


@dataclass(frozen=True, slots=True)
class Record:
    """One run, finished or expected. Thousands are held at once, so what is equal in several of them is one object.

    Fields:
        folder: where it lies; of an expected one, a folder that it may lie in
        recipe: its settings by dotted path, see `named`, but for its own seeds; what an older record does not know yet
            was at its default
        repetition: its own seeds by dotted path
        origin: day, commit, victim_commit, torch, processor, instructions and threads; None for what the record
            does not say
        numbers: every number of its `metrics.json` outside the settings, by dotted path; none of an expected one
    """

    folder: Path
    recipe: dict[str, Any]
    repetition: dict[str, Any]
    origin: dict[str, Any]
    numbers: dict[str, float]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting by dotted path."""
        return ChainMap(self.repetition, self.recipe)

    @property
    def seeds(self) -> tuple:
        """The seeds of this repetition."""
        return tuple(self.get(name) for name in declared().seeds)

    @property
    def victim_seed(self) -> Any:
        """What tells its victim from others of the same settings; None for weights of unknown origin."""
        return self.get("seed")

    def get(self, name: str) -> Any:
        """A setting by dotted path; None where it has none."""
        return self.repetition[name] if name in self.repetition else self.recipe.get(name)

    def figure(self, name: str) -> float | None:
        """A number of `metrics.json`, by its short name or dotted path; None where it has none."""
        if name == "seconds":
            name = {"defend": "seconds.defense", "attack": "seconds.train"}.get(self.get("stage"), "seconds.evaluate")
        place, _, setting = name.partition(".")
        value = self.get(setting) if place == "settings" else self.numbers.get(SHORT.get(name, name))
        return value if isinstance(value, (int, float)) else None


def named(settings: Mapping, victim: str | None) -> dict[str, Any]:
    """Nested settings by dotted path; a part's own path ("attack") gives its name, that of a victim its label."""
    flat = dict(flatten(settings))
    for part in declared().parts:
        if f"{part}.kind" in flat:
            flat[part] = flat.pop(f"{part}.kind")
    return flat | ({"victim": victim} if victim else {})


def to_text(value: Any) -> str:
    """A setting as one writes it on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + ",".join(map(to_text, value)) + "]" if isinstance(value, list) else str(value)


def text_of(settings: Mapping[str, Any], name: str) -> str:
    """A setting as text; n/a where there is none of that name, as an option of another defense."""
    return to_text(settings[name]) if name in settings else "n/a"


def distinguishing(record: Record, others: Sequence[Record], kinds: Sequence[str]) -> dict[str, Any]:
    """The settings, seeds too, that tell a run from those of the same kinds: settings of another kind always differ."""
    peers = [other for other in others if all(other.get(name) == record.get(name) for name in kinds)]
    seeds = [name for name in declared().seeds if len({to_text(other.get(name)) for other in peers}) > 1]
    own = [name for name in [*differing(peers), *seeds] if name in record.settings and name != "stage"]
    return {name: record.get(name) for name in own}


def distinct(shared: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each of what records share once, in the order in which they come."""
    return list({id(each): each for each in shared}.values())


def setting_names(records: Sequence[Record]) -> set[str]:
    """The settings that one or more of these runs have."""
    shared = [*distinct(each.recipe for each in records), *distinct(each.repetition for each in records)]
    return {name for each in shared for name in each}


def differing(records: Iterable[Record]) -> dict[str, list[Any]]:
    """Setting -> its values, of those settings in which records differ: seeds and idle ones left out.

    What a record does not say, such as an option of another version, is no difference.
    """
    found: dict[str, list[Any]] = {}
    recipes = distinct(each.recipe for each in records)
    for name in dict.fromkeys(name for each in recipes for name in each):
        if name in declared().seeds or name in declared().idle:
            continue
        values = {to_text(value): value for value in (each[name] for each in recipes if name in each)}
        if len(values) > 1:
            found[name] = list(values.values())
    return found
