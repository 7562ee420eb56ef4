"""The jobs of a sweep, composed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nba_cli.runs.compose import REFUSAL
from nba_cli.runs.hydra_errors import one_line
from nba_cli.runs.jobs import Range

TRIED = 1000  # values of an option, before the first job


class Composer(ConfigLoaderImpl):
    """Hydra's loader, quicker for the jobs of a sweep.

    Hydra composes a job from some twenty files. Here jobs that choose the same parts are composed once, and each sets
    its values on a copy. What is neither a choice nor a value, and what is refused, is left to Hydra.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Parallel launchers send the loader along with each job; what it has composed would be sent as often."""
        return vars(self) | {"composed": {}}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The config of a job, as Hydra composes it; of one that Hydra refuses, a config that says why.

        Raising would take the rest of the sweep with it.
        """
        try:
            return self.job(master_config, sweep_overrides)
        except Exception as error:
            line = one_line(error)
            if line is None:
                raise
            config = copy.deepcopy(master_config)
            with open_dict(config):
                config[REFUSAL] = line.replace("${", "\\${")
            config.hydra.overrides.task = sweep_overrides
            return config

    def try_values(self, master_config: DictConfig, columns: Sequence[Sequence[str]]) -> None:
        """Compose each value of a sweep's options once, the first of a range: the others are numbers as well.

        An option of a part that is swept has to be one of some choice; the jobs of the others are refused in their
        turn. Raises what Hydra raises.
        """
        groups = master_config.hydra.runtime.choices
        key = lambda column: column[0].partition("=")[0]  # noqa: E731
        parts = {key(column): column for column in columns if not is_value(parsed(column[0]), groups)}
        first = {part: column[0] for part, column in parts.items()}
        for column in columns:
            part = key(column).partition(".")[0]
            choices = parts.get(part, [""]) if key(column) not in parts else [""]
            for word in column[: 1 if isinstance(column, Range) else TRIED]:
                self.try_value(master_config, first, word, [{part: choice} if choice else {} for choice in choices])

    def try_value(
        self, master_config: DictConfig, first: dict[str, str], word: str, ways: Sequence[dict[str, str]]
    ) -> None:
        """Compose a value with the `first` choices of the other parts, in one of several `ways` to choose its own."""
        failures = []
        for way in ways:
            try:
                self.job(master_config, list((first | way | {word.partition("=")[0]: word}).values()))
                return
            except Exception as error:
                failures.append(error)
        raise failures[0]

    def job(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The config of a job. Raises what Hydra raises."""
        groups = master_config.hydra.runtime.choices
        values = [word for word in sweep_overrides if is_value(parsed(word), groups)]
        choices = tuple(word for word in sweep_overrides if word not in values)
        if choices not in self.composed:
            self.composed[choices] = super().load_sweep_config(master_config, list(choices))
        # no pickled copies, though they are quicker: in a worker of joblib Hydra has loaded its plugins twice, so that
        # a launcher's settings are of a class that is not the one found by its name
        config = copy.deepcopy(self.composed[choices])
        if not all(parsed(word).key_or_group in config.hydra.runtime.choices for word in choices):
            return super().load_sweep_config(master_config, sweep_overrides)  # +option=value and the like
        try:
            for word in values:
                OmegaConf.update(config, parsed(word).key_or_group, parsed(word).value(), merge=True)
        except OmegaConfBaseException:
            return super().load_sweep_config(master_config, sweep_overrides)  # which says what is wrong
        config.hydra.overrides.task = sweep_overrides
        form = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = get_overrides_dirname([parsed(word) for word in sweep_overrides], **form)
        return config


@lru_cache(10_000)
def parsed(word: str) -> Override:
    """An override as Hydra reads it; most of a job's are those of the other jobs, too."""
    return OverridesParser.create().parse_overrides([word])[0]


def is_value(override: Override, groups: DictConfig) -> bool:
    """Whether an override sets an option, and chooses, adds or removes none; Hydra's own options do not count."""
    name, plain = override.key_or_group, override.type is OverrideType.CHANGE and override.package is None
    return plain and name not in groups and name.partition(".")[0] != "hydra"
