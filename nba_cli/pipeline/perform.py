"""The stages by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from nba_cli.pipeline.attack import victim
from nba_cli.pipeline.defend import defended
from nba_cli.pipeline.evaluate import evaluated
from nba_cli.pipeline.preview import previewed
from nba_cli.runs.settings import Machine


class Stage(Protocol):
    def __call__(self, run: Machine, again: Callable[[Path], None] | None = None, /) -> Path:
        """Do a run in its folder, or find it done there and call `again` with the folder; returns the folder."""
        ...


STAGES = cast(dict[str, Stage], {"attack": victim, "defend": defended, "evaluate": evaluated, "preview": previewed})


def perform(stage: str, run: Machine, again: Callable[[Path], None] | None = None) -> Path:
    """Do a run in its folder, or find it done there and call `again` with the folder; returns the folder.

    An interrupted run of the same settings is continued; a finished one is left alone unless `overwrite`.
    """
    return STAGES[stage](run, again)
