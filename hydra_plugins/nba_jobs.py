"""Hydra's own sweeper, with a cheaper way to compose its jobs. Hydra takes sweepers from this package alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext

from nba_cli.cli.composer import Composer
from nba_cli.runs.compose import check_sweep


class JobSweeper(BasicSweeper):
    """Runs every combination, as `conf/hydra/sweeper/jobs.yaml` asks for."""

    def setup(self, *, hydra_context: HydraContext, **kwargs: Any) -> None:
        loader = Composer(hydra_context.config_loader.get_search_path())
        super().setup(hydra_context=replace(hydra_context, config_loader=loader), **kwargs)

    @staticmethod
    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        check_sweep(overrides)
        return BasicSweeper.split_arguments(overrides, max_batch_size)
