"""What a command line has chosen so far, read off the YAML files without Hydra, which would take too long for TAB."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nba_cli.files import conf_dir

HERE = "@_here_"


def own_folders(given: Sequence[str]) -> list[Path]:
    """The configs of the user's own: --config-dir FOLDER."""
    pairs = [word.partition("=") for word in given]
    folders = [after for (flag, _, _), after in zip(pairs, given[1:], strict=False) if flag in ("--config-dir", "-cd")]
    return [Path(each) for each in folders + [value for flag, _, value in pairs if flag == "--config-dir" and value]]


def choices_of(command: str, given: Sequence[str], group: str) -> list[str] | None:
    """The choices of a group that a command line makes; several in a sweep, and None where it cannot be told."""
    said = [word.partition("=")[2] for word in given if word.partition("=")[0] == group]
    if said:
        return said[-1].split(",")
    if any(word.startswith("+") for word in given):  # an experiment chooses for itself
        return None
    entries = defaults(conf_dir() / f"{command}.yaml")
    usual = {name: choice for entry in entries if isinstance(entry, dict) for name, choice in entry.items()}
    if group not in usual:
        return None
    return [usual[group]] if usual[group] else []


def registry_name(group: str, choice: str, folders: Sequence[Path]) -> str | None:
    """The part that a choice is composed on: `ft` for demo/ft. None where it cannot be told."""
    for _ in range(10):  # a file may be composed on another, and a careless one on itself
        files = [folder / group / f"{choice}.yaml" for folder in (conf_dir(), *folders)]
        entries = [entry for entry in defaults(next(filter(Path.is_file, files), None)) if isinstance(entry, str)]
        bases = [entry.removesuffix(HERE) for entry in entries if entry != "_self_"]
        if not bases:
            return None
        schema = f"/hydra/schema/{group}/"
        if bases[0].startswith(schema):
            return bases[0].removeprefix(schema)
        choice = bases[0].removeprefix(f"/{group}/")
    return None


def defaults(file: Path | None) -> list[Any]:
    """The defaults list of a YAML file; none of a file that cannot be read, which Hydra will say in its turn."""
    import yaml

    with contextlib.suppress(OSError, ValueError, AttributeError, yaml.YAMLError):
        if file is not None:
            return list(yaml.safe_load(file.read_text(encoding="utf-8")).get("defaults") or [])
    return []
