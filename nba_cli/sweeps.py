"""What a sweep knows of its jobs: a small file each, so that the processes of any launcher can write at once."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import filelock
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser

from nba_cli import files
from nba_cli.logs import LOG

FOLDER = ".sweeps"  # below the folder of all runs
CHOICE = "optimization_results.yaml"  # what a sweeper that chooses settings leaves in the journal's folder


@dataclass(kw_only=True)
class Job:
    """Fields:
    number: its place in the sweep, from 0
    overrides: its settings as on the command line
    label: those of them in which the jobs differ
    state: running, finished, failed (a defect, or the machine's), refused (bad input) or skipped
    folder: its run folder, once it is known
    why: the line to show where it did not finish
    trace: the traceback of a defect
    seconds: how long it took
    """

    number: int
    overrides: list[str]
    label: str = ""
    state: str = "running"
    folder: str | None = None
    why: str | None = None
    trace: str | None = None
    seconds: float = 0.0


@dataclass
class Journal:
    """The folder of one sweep: `sweep.json` and `jobs/<number>.json`. Its parent process holds its lock."""

    folder: Path
    lock: filelock.BaseFileLock = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.lock = filelock.FileLock(self.folder / "lock")

    def open(self, stage: str, command: list[str], jobs: list[list[str]], total: int | None) -> None:
        """Begin: called by the parent with the overrides of all jobs, where they are known beforehand.

        Journals of the same command that nobody holds any more are removed.
        """
        (self.folder / "jobs").mkdir(parents=True, exist_ok=True)
        self.lock.acquire()
        swept = [words[0].partition("=")[0] for words in zip(*jobs, strict=True) if len(set(words)) > 1]
        about = {"stage": stage, "command": command, "total": total, "swept": swept, "started": time.time()}
        for other in journals(self.folder.parent):
            same = (other.about.get("stage"), other.about.get("command")) == (stage, command)
            if same and other.folder != self.folder and not other.alive():
                other.remove()
        files.write(self.folder / "sweep.json", json.dumps(about))

    def close(self) -> None:
        """End: a sweep with nothing left to do leaves its runs, and what its sweeper chose."""
        jobs, total = self.jobs(), self.about.get("total")
        done = all(job.state in ("finished", "skipped", "refused") for job in jobs) and total in (None, len(jobs))
        self.lock.release()
        if done and not (self.folder / CHOICE).is_file():
            shutil.rmtree(self.folder, ignore_errors=True)
        elif done or not jobs:  # without jobs it was refused before the first one
            self.remove()

    def remove(self) -> None:
        """Forget an older sweep, but for what a cluster's launcher keeps there: its jobs may still wait in a queue."""
        shutil.rmtree(self.folder / "jobs", ignore_errors=True)
        for name in ("sweep.json", "multirun.yaml", "lock"):
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            self.folder.rmdir()

    def alive(self) -> bool:
        """Whether the sweep's parent process still runs."""
        try:
            with filelock.FileLock(self.folder / "lock", timeout=0):
                return False
        except filelock.Timeout:
            return True
        except OSError:  # removed in this moment
            return False

    @property
    def about(self) -> dict:
        """What `open` wrote; empty when the sweep is gone."""
        try:
            return json.loads((self.folder / "sweep.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def job(self, number: int, overrides: list[str]) -> Job:
        """A new job of this sweep."""
        differ = [word for word in overrides if word.partition("=")[0] in self.about.get("swept", [])]
        return Job(number=number, overrides=overrides, label=" ".join(differ or overrides) or "the run")

    def note(self, job: Job) -> None:
        """Write down how a job is. The journal is for looking at: where it cannot be written, the job goes on."""
        try:
            files.write(self.folder / "jobs" / f"{job.number}.json", json.dumps(dataclasses.asdict(job)))
        except OSError as error:
            LOG.warning(f"{self.folder}: {error.strerror}; this job is not in the list of the sweep")

    def forget(self, job: Job) -> None:
        """An interrupted job is as if it had not begun."""
        (self.folder / "jobs" / f"{job.number}.json").unlink(missing_ok=True)

    def jobs(self, known: Iterable[int] = ()) -> list[Job]:
        """All jobs that have begun, but for those whose numbers are `known`."""
        where, skip = self.folder / "jobs", set(known)
        names = [entry.name for entry in os.scandir(where)] if where.is_dir() else []
        numbers = sorted(int(stem) for stem, _, kind in (name.partition(".") for name in names) if kind == "json")
        found = []
        for number in numbers:
            with contextlib.suppress(FileNotFoundError):  # forgotten in this moment
                if number not in skip:
                    found.append(Job(**json.loads((where / f"{number}.json").read_text(encoding="utf-8"))))
        return found


def journals(root: Path) -> list[Journal]:
    """The sweeps under a journal folder, oldest first."""
    return [Journal(file.parent) for file in sorted(root.glob("*/sweep.json"))]


def expand(loader: ConfigLoader, params: dict[str, str], overrides: Sequence[str]) -> list[list[str]]:
    """The jobs of a sweep as Hydra counts them: `params` of the sweeper, then what the command line says."""
    words = [f"{key}={value}" for key, value in params.items()] + list(overrides)
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(words)
    return BasicSweeper.split_arguments(parsed, None)[0]


def commands(stage: str, jobs: Sequence[Job], options: Sequence[str] = ()) -> list[str]:
    """Command lines that run just these jobs: one sweep where they are all combinations of their values, else one
    command each."""
    sets = [[word.partition("=")[::2] for word in job.overrides] for job in jobs]
    head = ["nba", stage]
    if any(word.startswith("hydra/sweeper") for word in options):  # it would choose other settings
        options = [word for word in options if not word.startswith(("hydra/sweeper", "hydra.sweeper"))]
    keys = {tuple(key for key, _ in pairs) for pairs in sets}
    if len(jobs) > 1 and len(keys) == 1:
        rows = [tuple(value for _, value in pairs) for pairs in sets]
        values = [list(dict.fromkeys(column)) for column in zip(*rows, strict=True)]
        if sorted(itertools.product(*values)) == sorted(rows):
            swept = [f"{key}={','.join(found)}" for key, found in zip(keys.pop(), values, strict=True)]
            return [shlex.join([*head, "--multirun", *options, *swept])]
    plain = [word for word in options if not word.startswith("hydra")]  # a launcher is for many jobs
    return [shlex.join([*head, *plain, *job.overrides]) for job in jobs]
