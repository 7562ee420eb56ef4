"""The jobs of an experiment, named without running any: what a table of it has to hold."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from nba_cli import app, runs, schema, sweeps
from nba_cli.cli import conf_dir
from nba_cli.devices import Precision
from nba_cli.errors import Refused, did_you_mean
from nba_cli.results import SEEDS, among, fits, named, text


@dataclass(frozen=True)
class Planned:
    """A job: its overrides, its settings as text, and the folders that its result may lie in (one a precision)."""

    overrides: tuple[str, ...]
    settings: dict[str, str]
    folders: tuple[Path, ...]

    @property
    def finished(self) -> Path | None:
        return next((folder for folder in self.folders if runs.finished(folder)), None)


@dataclass(frozen=True)
class Experiment:
    """Fields:
    name: as in +experiment=NAME
    stage: the command that runs it
    command: the line that its file opens with
    question: what it answers
    jobs: all of them
    planned: the settings that it varies, and its parts, with their values as text
    """

    name: str
    stage: str
    command: str
    question: str
    jobs: list[Planned]
    planned: dict[str, list[str]]

    def axes(self) -> tuple[list[str], list[str]]:
        """(rows, columns) of its table: sections by attack, data set or victim, lines by whatever else is varied."""
        varied = [name for name, values in self.planned.items() if len(values) > 1 and name not in SEEDS]
        cols = [name for name in ("attack", "dataset", "victim") if name in varied][:1] or ["attack"]
        return [name for name in varied if name not in cols] or ["defense"], cols

    def only(self, filters: Mapping[str, Sequence[str]]) -> Experiment:
        """The part of it whose settings have one of the values that are asked for.

        Raises:
            Refused: no job has.
        """
        jobs = [job for job in self.jobs if fits(job.settings, filters)]
        if not jobs:
            said = " ".join(f"{name}={','.join(wanted)}" for name, wanted in filters.items())
            raise Refused(f"experiment={self.name}: no job of it has {said}.")
        planned = {
            name: [value for value in values if among(value, filters.get(name, [value]))]
            for name, values in self.planned.items()
        }
        return replace(self, jobs=jobs, planned=planned)


def names() -> list[str]:
    root = conf_dir() / "experiment"
    return sorted(str(file.relative_to(root).with_suffix("")) for file in root.rglob("*.yaml"))


def load(name: str, output: str) -> Experiment:
    """Read an experiment and list its jobs.

    Raises:
        Refused: there is no experiment of this name, or its file does not open with its command.
    """
    if name not in names():
        raise Refused(f"experiment={name}: there is no such experiment. {did_you_mean(name, names())}")
    content = (conf_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    found = re.search(r"^# (nba (\w+) .+)$", content, re.MULTILINE)
    question = re.search(r"^# Question: (.+(?:\n#  .+)*)$", content, re.MULTILINE)
    if found is None or question is None:
        raise Refused(f"experiment={name}: its file has to open with its command and its question.")
    stage = found[2]
    app.install()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        first = f"+experiment={name}"
        params = compose(stage, [first], return_hydra_config=True).hydra.sweeper.params
        loader = GlobalHydra.instance().config_loader()
        lists = sweeps.expand(loader, dict(params), [first])
        parser = OverridesParser.create(config_loader=loader)
        reader = functools.cache(lambda choices: compose(stage, list(choices)))
        jobs = []
        planned: dict[str, dict[str, None]] = {name: {} for name in dict.fromkeys([*schema.GROUPS, *map(str, params)])}
        for words in lists:
            run = typed(stage, parser.parse_overrides(words), reader)
            run.output = output
            each = tuple(replace(run, precision=p) for p in (Precision.bf16, Precision.fp32, Precision.fp16))
            settings = {key: text(value) for key, value in named(runs.describe(run), run.victim.label).items()}
            jobs.append(Planned(tuple(words), settings, tuple(runs.folder(stage, one) for one in each)))
            for key in planned.keys() & settings.keys():
                planned[key][settings[key]] = None
    values_of = {key: list(values) for key, values in planned.items() if values}
    return Experiment(name, stage, found[1], re.sub(r"\s*\n#\s*", " ", question[1]), jobs, values_of)


def typed(stage: str, overrides: list[Override], reader: Callable[[tuple[str, ...]], DictConfig]) -> schema.AttackRun:
    """The run of one job. Composing is slow, so each choice of groups is composed once; values are set afterwards."""
    choices = tuple(str(o.input_line) for o in overrides if o.is_add() or o.key_or_group in schema.GROUPS)
    cfg = copy.deepcopy(reader(choices))
    for override in overrides:
        if str(override.input_line) not in choices:
            OmegaConf.update(cfg, str(override.key_or_group), override.value(), merge=False)
    run = app.typed(cfg, stage)
    assert isinstance(run, schema.AttackRun)
    return run
