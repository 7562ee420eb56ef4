"""The runs of jobs, without Hydra composing each."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Sequence

from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from nba_cli.runs.compose import typed_run
from nba_cli.runs.registry import CHOICES
from nba_cli.runs.settings import AttackRun

Words = tuple[str, ...]
Choices = tuple[tuple[str, str], ...]
"""Of each group that is chosen from, its name and the word: ("attack", "attack=blend")."""


class Bases:
    """Configs by what is chosen in them.

    Composing is slow, so each part is composed once, beside the others' defaults. `copy.deepcopy` of a config is slow,
    too: unpickling one takes a fifth of its time.
    """

    def __init__(self, composed: Callable[[Words], DictConfig]) -> None:
        """`composed`: the config with these words, as Hydra composes it, without its own settings."""
        self.composed = functools.cache(composed)
        self.pickled = functools.cache(self._pickled)

    def base(self, added: Words, chosen: Choices) -> DictConfig:
        """A config with what is `added` (+experiment=…) and `chosen` (attack=…); the caller may change it."""
        return pickle.loads(self.pickled(added, chosen))

    def _pickled(self, added: Words, chosen: Choices) -> bytes:
        if not chosen:
            return pickle.dumps(self.composed(added))
        *others, (key, line) = chosen
        cfg = self.base(added, tuple(others))
        OmegaConf.update(cfg, key, self.composed((*added, line))[key], merge=False)
        return pickle.dumps(cfg)


def job_run(stage: str, overrides: Sequence[Override], bases: Bases) -> AttackRun:
    """The run of one job of a sweep."""
    added = tuple(str(each.input_line) for each in overrides if each.is_add())
    chosen = tuple((str(each.key_or_group), str(each.input_line)) for each in overrides if each.key_or_group in CHOICES)
    cfg = bases.base(added, chosen)
    for override in overrides:
        if not override.is_add() and override.key_or_group not in CHOICES:
            override_value(cfg, override)
    with open_dict(cfg):
        cfg.hydra = {"overrides": {"task": [str(each.input_line) for each in overrides]}}  # what the job itself gives
    run = typed_run(cfg, stage)
    assert isinstance(run, AttackRun)
    return run


def override_value(cfg: DictConfig, override: Override) -> None:
    """Set one option. Raises what Hydra would raise, which says more than OmegaConf does."""
    try:
        OmegaConf.update(cfg, str(override.key_or_group), override.value(), merge=False)
    except (ConfigAttributeError, ConfigKeyError) as error:
        raise ConfigCompositionException(f"Could not override '{override.key_or_group}'") from error
    except OmegaConfBaseException as error:
        raise ConfigCompositionException(f"Error merging override {override.input_line}") from error
