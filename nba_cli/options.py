"""What an option means, declared once beside its field and read by run names, tables, command lines and completion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, field, fields
from typing import Any

FILE, FOLDER = "<file>", "<folder>"
"""Among the words that complete an option: the files, or the folders, that are there."""


def only(default: Any, *stages: str) -> Any:
    """An option that is part of the run names of these stages alone."""
    return field(default=default, metadata={"stages": stages})


def unnamed(default: Any) -> Any:
    """An option left out of run names because what it leads to is in them: a file's content, the resolved precision."""
    return field(default=default, metadata={"stages": ()})


def word_or_file(default: Any, *words: str) -> Any:
    """An option that is one of these `words`, or a file whose content names the run instead of its place."""
    return field(default=default, metadata={"words": words})


def is_file(option: Field, value: Any) -> bool:
    """Whether `value` is the file that a `word_or_file` option may be."""
    return value not in option.metadata.get("words", (value,))


def among(option: Any, *words: str) -> Any:
    """A text option that is usually one of these `words`: completion offers them."""
    return field(default=option.default, metadata={**option.metadata, "among": words})


def file(option: Any) -> Any:
    """An option that names a file: completion offers those that are there."""
    return field(default=option.default, metadata={**option.metadata, "place": FILE})


def folder(option: Any) -> Any:
    """An option that names a folder: completion offers those that are there."""
    return field(default=option.default, metadata={**option.metadata, "place": FOLDER})


def idle(default: Any) -> Any:
    """An option that changes no figure. Runs that differ in it alone are the same run."""
    return field(default=default, metadata={"stages": (), "idle": True})


def aside(default: Callable[[], Any]) -> Any:
    """An idle part that no record names: where a run is shown while it is made. Its address may hold a password."""
    return field(default_factory=default, metadata={"stages": (), "idle": True, "aside": True})


def seed(*stages: str) -> Any:
    """A seed, 0 by default. Runs that differ in seeds alone are repetitions; `stages` as in `only`, none: all."""
    return field(default=0, metadata={"seed": True} | ({"stages": stages} if stages else {}))


def names_run(option: Field, stage: str) -> bool:
    """Whether the option is part of the names of this stage's runs."""
    return stage in option.metadata.get("stages", (stage,))


def recorded(cls: Any) -> list[Field]:
    """The options of a class, or of an object of it, that its record names."""
    return [option for option in fields(cls) if not option.metadata.get("aside")]


def idle_names(cls: type) -> list[str]:
    """The options of `cls` that change no figure."""
    return [option.name for option in fields(cls) if option.metadata.get("idle")]


def seed_names(cls: type) -> list[str]:
    """The options of `cls` that are seeds."""
    return [option.name for option in fields(cls) if option.metadata.get("seed")]
