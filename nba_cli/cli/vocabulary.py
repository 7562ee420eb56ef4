"""What may be typed after each command, read off the classes and kept in the user's cache.

The classes import PyTorch, which takes seconds, and TAB has to answer at once.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import Any

from nba_cli import options
from nba_cli.cli.commands import COMMANDS
from nba_cli.runs import declared

Values = list[str]
"""The words that complete an option; options.FILE or FOLDER stands for what is on the disk."""


@dataclass(frozen=True)
class Vocabulary:
    """Fields:
    options: command -> option, by dotted path -> its values; of a run without those of its parts
    groups: command -> the groups that it chooses from
    parts: group -> registry name -> option -> its values
    aside: groups that no record names
    """

    options: dict[str, dict[str, Values]]
    groups: dict[str, list[str]]
    parts: dict[str, dict[str, dict[str, Values]]]
    aside: list[str]

    @property
    def places(self) -> set[str]:
        """The options, by dotted path, that name files or folders."""
        of_parts = [(f"{group}.", own) for group, kinds in self.parts.items() for own in kinds.values()]
        known = [*(("", own) for own in self.options.values()), *of_parts]
        wanted = {options.FILE, options.FOLDER}
        return {prefix + name for prefix, own in known for name, values in own.items() if wanted & set(values)}


@functools.cache
def vocabulary() -> Vocabulary:
    """What may be typed in this installation, with the parts of other packages."""
    groups = [group for group in importlib.metadata.entry_points().groups if group.startswith("nba.")]
    entries = [entry for group in groups for entry in importlib.metadata.entry_points(group=group)]
    packages = sorted({entry.module.partition(".")[0] for entry in entries})
    now = f"{declared.digest_of_sources(*packages)} {sorted(map(str, entries))}"
    return declared.kept("completion", Vocabulary, of_classes, now)


def of_classes() -> Vocabulary:
    """What may be typed, asked of the classes themselves: whatever Hydra has a schema of."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    from nba_cli.runs.compose import register

    register()
    schemas = ConfigStore.instance().repo["hydra"]["schema"]

    def classes(folder: Mapping[str, Any]) -> dict[str, type]:
        found = {name.removesuffix(".yaml"): node for name, node in folder.items() if not isinstance(node, dict)}
        return {name: typing.cast(type, OmegaConf.get_type(node.node)) for name, node in found.items()}

    parts = {group: classes(folder) for group, folder in schemas.items() if isinstance(folder, dict)}
    stages = classes(schemas)
    readers = {name: command.module for name, command in COMMANDS.items() if not command.composed}
    return Vocabulary(
        options={stage: dict(options_of(cls, skipped=parts)) for stage, cls in stages.items()}
        | {name: of_reader(module) for name, module in readers.items()},
        groups={
            stage: [option.name for option in dataclasses.fields(cls) if option.name in parts]
            for stage, cls in stages.items()
        },
        parts={group: {name: dict(options_of(cls)) for name, cls in known.items()} for group, known in parts.items()},
        aside=sorted(
            {each.name for cls in stages.values() for each in dataclasses.fields(cls) if "aside" in each.metadata}
        ),
    )


def options_of(cls: type, prefix: str = "", skipped: typing.Container[str] = ()) -> Iterator[tuple[str, Values]]:
    """Each option of a class by its dotted path, with its values."""
    hints = typing.get_type_hints(cls)
    for option in dataclasses.fields(cls):
        if option.name in skipped:
            continue
        types = list(flat(hints[option.name]))
        if nested := [each for each in types if dataclasses.is_dataclass(each)]:
            yield from options_of(nested[0], f"{prefix}{option.name}.")
        else:
            yield f"{prefix}{option.name}", values_of(option, types)


def flat(hint: Any) -> Iterator[type]:
    """The classes in a type: of list[Form] | None these three."""
    if inner := typing.get_args(hint):
        for each in inner:
            yield from flat(each)
    elif isinstance(hint, type):
        yield hint


def values_of(option: dataclasses.Field, types: list[type]) -> Values:
    words = [name for each in types if issubclass(each, Enum) for name in each.__members__]
    words += ["true", "false"] if bool in types else []
    about = option.metadata
    places = [about["place"]] if "place" in about else [options.FILE] if "words" in about else []
    return [*words, *about.get("among", ()), *about.get("words", ()), *places]


def of_reader(module: str) -> dict[str, Values]:
    """The options of a command that Hydra does not compose, which its module lists."""
    found = import_module(module)
    values = getattr(found, "VALUES", {})
    return {name: list(values.get(name, ())) for name in getattr(found, "OPTIONS", {})}
