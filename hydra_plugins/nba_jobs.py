"""Hydra's own sweeper, with a cheaper way to compose its jobs. Hydra takes sweepers from this package alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext
from omegaconf import DictConfig

from nba_cli.cli.composer import Composer
from nba_cli.cli.journal import Journal
from nba_cli.cli.launchers import WhileThere, check_launcher
from nba_cli.cli.sweep import Sweep
from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.runs.jobs import Jobs, jobs_of


class JobSweeper(BasicSweeper):
    """Runs every combination, as `conf/hydra/sweeper/jobs.yaml` asks for.

    Hydra's own makes and composes all jobs before the first one begins. Here a job is made and composed when its turn
    has come, and what is checked before is each value by itself.
    """

    def setup(self, *, hydra_context: HydraContext, config: DictConfig, **kwargs: Any) -> None:
        check_launcher(config.hydra)
        self.composer = Composer(hydra_context.config_loader.get_search_path())
        super().setup(hydra_context=replace(hydra_context, config_loader=self.composer), config=config, **kwargs)

    @staticmethod
    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> list[Sequence[Sequence[str]]]:  # type: ignore[override]
        if max_batch_size is not None and max_batch_size < 1:
            raise Refused(f"hydra.sweeper.max_batch_size={max_batch_size}: 1 or more, or null for all jobs at once.")
        jobs = jobs_of(overrides)
        size = max_batch_size or len(jobs)
        return [jobs[start : start + size] for start in range(0, len(jobs), size)]

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        if self.batch_index == 1:
            assert self.config and isinstance(batch, WhileThere) and isinstance(batch.jobs, Jobs)
            # Hydra has just written it; nobody reads it, and it holds the address of a logger, maybe with a password
            (Path(self.config.hydra.sweep.dir) / "multirun.yaml").unlink(missing_ok=True)
            self.composer.try_values(self.config, batch.jobs.columns)
            if Sweep.current and Sweep.current.heading:
                LOG.info(Sweep.current.heading)

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        assert self.config
        return WhileThere(super().get_job_batch(), Journal(Path(self.config.hydra.sweep.dir)))
