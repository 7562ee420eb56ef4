"""What the stages and parts declare, as plain values: names, options, defaults.

Tables need no more of the parts than that, and PyTorch, which the parts import, takes longer to load than thousands of
records take to read. So the declarations are kept in the user's cache, and hold until a source file changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nba_cli import files

PACKAGES = ("attacks", "nba_cli")  # what they are declared in
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Declared:
    """Fields:
    parts: group -> name of a part, in the order of the registry -> option -> default
    versions: group -> name of a part -> its version
    stages: stage -> option -> default
    seeds: settings of a run, by dotted path, in which repetitions of one another differ
    idle: settings of a run, by dotted path, that change no figure
    """

    parts: dict[str, dict[str, dict[str, Any]]]
    versions: dict[str, dict[str, int]]
    stages: dict[str, dict[str, Any]]
    seeds: list[str]
    idle: list[str]


@functools.cache
def declared() -> Declared:
    """The declarations of this installation."""
    if any(group.startswith("nba.") for group in importlib.metadata.entry_points().groups):
        return of_classes()  # the files of other packages are not watched here
    return kept("declared", Declared, of_classes, digest_of_sources())


def kept(name: str, cls: type[Kept], make: Callable[[], Kept], now: str) -> Kept:
    """What `make` reads off sources whose digest is `now`: as it was kept, or made and kept."""
    file = kept_in(name)
    with contextlib.suppress(
        OSError, ValueError, TypeError, KeyError, AttributeError
    ):  # there is none, or it is damaged
        found = json.loads(file.read_bytes())
        if files.unbroken(found) and found.pop("sources") == now:
            found.pop(files.SEAL)
            return cls(**found)
    made = make()
    with contextlib.suppress(OSError):  # a cache that cannot be written: the classes are asked each time
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, json.dumps(files.sealed({"sources": now} | dataclasses.asdict(made))))  # type: ignore[call-overload]
    return made


def kept_in(name: str = "declared") -> Path:
    """The file that holds what was read off the sources when they last changed; each installation has its own."""
    place = hashlib.sha256(__file__.encode()).hexdigest()[:10]
    return files.cache_folder() / f"{name}-{place}.json"


def digest_of_sources(*further: str) -> str:
    """Changes when a source file does, by its name, size and time of change; also one of `further` packages."""
    found = []
    for package in (*PACKAGES, *further):
        for file in sources(package):
            state = file.stat()
            found.append(f"{file} {state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def sources(package: str) -> list[Path]:
    """The source files of a package, or of a module that is one file."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        return [Path(spec.origin)] if spec.origin else []
    return [file for root in spec.submodule_search_locations for file in sorted(Path(root).rglob("*.py"))]


def of_classes() -> Declared:
    """The declarations, asked of the classes themselves."""
    from nba_cli import options
    from nba_cli.data import Dataset
    from nba_cli.runs.plain import to_plain
    from nba_cli.runs.registry import GROUPS
    from nba_cli.runs.settings import RUNS, DefendRun, default_of

    def defaults(cls: type) -> dict[str, Any]:
        return {option.name: to_plain(default_of(option)) for option in options.recorded(cls)}

    return Declared(
        parts={group: {name: defaults(cls) for name, cls in registry.items()} for group, registry in GROUPS.items()},
        versions={group: {name: cls.version for name, cls in registry.items()} for group, registry in GROUPS.items()},
        stages={stage: defaults(cls) for stage, cls in RUNS.items()},
        seeds=[*options.seed_names(DefendRun), *(f"dataset.{name}" for name in options.seed_names(Dataset))],
        idle=[*options.idle_names(DefendRun), *(f"dataset.{name}" for name in options.idle_names(Dataset))],
    )
