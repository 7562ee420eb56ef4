"""The jobs of a sweep, composed."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class Composer(ConfigLoaderImpl):
    """Hydra's loader, quicker for the jobs of a sweep.

    Hydra composes a job from some twenty files, and does so twice: before the first job, to see that it can be, and
    when its turn has come. Here jobs that choose the same parts are composed once, and each sets its values on a copy.
    What is neither a choice nor a value, and what is refused, is left to Hydra.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Parallel launchers send the loader along with each job; what it has composed would be sent as often."""
        return vars(self) | {"composed": {}}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The config of a job, as Hydra composes it."""
        groups = master_config.hydra.runtime.choices
        values = [word for word in sweep_overrides if is_value(parsed(word), groups)]
        choices = tuple(word for word in sweep_overrides if word not in values)
        if choices not in self.composed:
            self.composed[choices] = super().load_sweep_config(master_config, list(choices))
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


@cache
def parsed(word: str) -> Override:
    """An override as Hydra reads it; most of a job's are those of the other jobs, too."""
    return OverridesParser.create().parse_overrides([word])[0]


def is_value(override: Override, groups: DictConfig) -> bool:
    """Whether an override sets an option, and chooses, adds or removes none; Hydra's own options do not count."""
    name, plain = override.key_or_group, override.type is OverrideType.CHANGE and override.package is None
    return plain and name not in groups and name.partition(".")[0] != "hydra"
