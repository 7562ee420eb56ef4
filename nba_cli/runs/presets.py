"""Whether a run's part is as by default, or as a file conf/PART/FOLDER/KIND.yaml sets it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nba_cli.files import conf_dir
from nba_cli.runs.declared import declared
from nba_cli.runs.record import Record, text_of, to_text
from nba_cli.runs.sound import flatten


def called(record: Record, part: str) -> str:
    """The kind of a part, with the folder of its preset: what defense=demo/ft made is "ft demo"."""
    kind, folder = to_text(record.get(part)), preset(record, part)
    return f"{kind} {folder}" if folder else kind


def value_of(record: Record, name: str) -> Any:
    """A setting; of a part, what it is called."""
    return called(record, name) if name in declared().parts else record.get(name)


def words_of(record: Record, name: str) -> str:
    """A setting as text; of a part, what it is called."""
    return called(record, name) if name in declared().parts else text_of(record.settings, name)


def beyond(record: Record, settings: dict[str, Any]) -> dict[str, Any]:
    """Those of its settings that the presets of its parts, by which it is called, do not say."""
    parts = {name.partition(".")[0] for name in settings}
    said = {part for part in parts if preset(record, part)}
    return {name: value for name, value in settings.items() if name.partition(".")[0] not in said}


def preset(record: Record, part: str) -> str | None:
    """The folder of conf/PART in which KIND.yaml sets just what is not at its default in the run, if there is one."""
    changed = deviations(record, part)
    if not changed:
        return None
    files = presets(part, str(record.get(part)))
    return next((folder for folder, options in files.items() if options == changed), None)


def deviations(record: Record, part: str) -> dict[str, str] | None:
    """Option -> value as text, of those that are not at their default.

    None where the defaults of the run are not known: it is of another version, or `part` is none.
    """
    kind = record.get(part)
    known = declared().parts.get(part, {}).get(kind)
    if known is None or record.recipe.get(f"{part}.version") != declared().versions[part][kind]:
        return None
    defaults = {name: to_text(value) for name, value in flatten(known, f"{part}.")}
    given = {name: to_text(value) for name, value in record.recipe.items() if name.startswith(f"{part}.")}
    given.pop(f"{part}.version")
    return {name: value for name, value in given.items() if defaults.get(name) != value}


@functools.cache
def presets(part: str, kind: str) -> dict[str, dict[str, str]]:
    """Folder -> what its file of that kind sets and the defaults do not, as text."""
    defaults = dict(flatten(declared().parts[part][kind]))
    return {
        file.parent.name: {
            f"{part}.{name}": to_text(value)
            for name, value in flatten(loaded(file))
            if name != "defaults" and to_text(defaults.get(name)) != to_text(value)
        }
        for file in sorted((conf_dir() / part).glob(f"*/{kind}.yaml"))
    }


def loaded(file: Path) -> dict[str, Any]:
    found = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(found, dict)
    return {str(name): value for name, value in found.items()}
