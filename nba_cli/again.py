"""The command line of a run: what one would have to type to get it again."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nba_cli import runs, schema
from nba_cli.cli import conf_dir
from nba_cli.errors import Refused
from nba_cli.results import SEEDS, Result, flatten, text

OMITTED = ("output", "overwrite", "device", "weights", "trigger", "snapshots")
"""What belongs to a machine or a moment, not to the result."""


def words(run: schema.AttackRun) -> dict[str, str]:
    """Option -> value, of all that is not at its default; the seeds are left out."""
    found: dict[str, str] = {}
    for group in schema.GROUPS:
        if hasattr(run, group):
            choice, more = choose(group, getattr(run, group))
            found[group] = choice
            found |= {f"{group}.{name}": text(value) for name, value in more.items()}
    for field in dataclasses.fields(run):
        if field.name not in schema.GROUPS:
            both = getattr(run, field.name), runs.standard(field)
            value, usual = ({field.name: runs.describe(each)} for each in both)
            found |= {name: text(each) for name, each in changed(value, usual).items()}
    return {name: value for name, value in found.items() if name not in (*SEEDS, *OMITTED)}


def changed(value: dict, usual: dict) -> dict[str, Any]:
    """Dotted path -> value where two nested dicts differ."""
    standard = dict(flatten(usual))
    return {name: each for name, each in flatten(value) if name not in standard or standard[name] != each}


def choose(group: str, part: Any) -> tuple[str, dict[str, Any]]:
    """The YAML file of a group that comes nearest to `part`, and the options that it leaves different."""
    candidates = []
    for file in sorted((conf_dir() / group).glob("*.yaml")):
        content = file.read_text(encoding="utf-8")
        found = re.search(rf"/hydra/schema/{group}/(\w+)@", content)
        if found and found[1] == runs.kind(part):
            own = OmegaConf.to_container(OmegaConf.create(content))
            assert isinstance(own, dict)
            own.pop("defaults")
            usual = runs.describe(type(part)()) | own
            candidates.append((file.stem, changed(runs.describe(part), usual)))
    return min(candidates, key=lambda pair: len(pair[1]), default=(runs.kind(part), {}))


def of(result: Result) -> dict[str, str] | None:
    """The words of a finished run; None where its parts or options are no longer known here."""
    try:
        return words(runs.typed(result.found["stage"], result.found["settings"]))
    except (Refused, OmegaConfBaseException):
        return None
