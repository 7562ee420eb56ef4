"""What a sweep has to know of its launcher."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from nba_cli.cli.journal import Journal
from nba_cli.errors import Refused

MOST_JOBS = 1024  # at once, on one machine
LEAST = {"timeout_min": 1, "nodes": 1, "tasks_per_node": 1, "cpus_per_task": 1, "mem_gb": 1, "gpus_per_node": 0}
"""Option of a launcher -> its smallest value."""


def is_parallel(hydra: Any) -> bool:
    """Whether the launcher runs jobs in other processes."""
    return not hydra.launcher._target_.endswith(".BasicLauncher")


def has_workers(hydra: Any) -> bool:
    """Whether the launcher runs jobs in processes of this machine, which are to end with the sweep's parent."""
    return hydra.launcher._target_.endswith((".JoblibLauncher", ".LocalLauncher"))


def workers(hydra: Any) -> int | None:
    """How many jobs run at once, MOST_JOBS if all of them do; None where a queue decides it."""
    if not is_parallel(hydra):
        return 1
    jobs = hydra.launcher.get("n_jobs")
    if jobs is not None and jobs < 0:  # -1: one a processor, -2: one less
        jobs = max(1, (os.cpu_count() or 1) + 1 + jobs)
    if jobs is None and has_workers(hydra):
        jobs = MOST_JOBS
    return jobs and min(jobs, hydra.sweeper.get("max_batch_size") or MOST_JOBS)


def check_launcher(hydra: Any) -> None:
    """Check what the plugins would answer with a traceback, or with processes without end.

    Raises:
        Refused: an option of the launcher is out of range.
    """
    jobs = hydra.launcher.get("n_jobs")
    if jobs is not None and not (-MOST_JOBS <= jobs <= MOST_JOBS and jobs):
        raise Refused(f"hydra.launcher.n_jobs={jobs}: 1 to {MOST_JOBS} processes, or -1 for one a processor.")
    for option, least in LEAST.items():
        value = hydra.launcher.get(option)
        if value is not None and value < least:
            raise Refused(f"hydra.launcher.{option}={value}: {least} or more.")


class WhileThere(Sequence[Sequence[str]]):
    """The jobs for as long as their journal is there: no other begins once somebody has removed it."""

    def __init__(self, jobs: Sequence[Sequence[str]], journal: Journal) -> None:
        self.jobs, self.journal = jobs, journal

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, place: Any) -> Any:
        return self.jobs[place]

    def __iter__(self) -> Iterator[Sequence[str]]:
        for job in self.jobs:
            if self.journal.removed():
                return
            yield job
