"""The journal of a sweep: one append-only file, a line for every change of a job.

The processes of any launcher append to it. Nothing is ever rewritten, and a job without an end is either running or was
killed: its run folder tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import filelock

from nba_cli import files
from nba_cli.cli import orphans
from nba_cli.console import LOG

FOLDER = ".sweeps"  # below the folder of all runs
FILE = "sweep.jsonl"
AGENDA = "agenda.json"  # its jobs as they stood before it
CHOICE = "optimization_results.yaml"  # what a sweeper that chooses settings leaves in the journal's folder
KEYS = {"about": {"stage", "command", "total", "swept"}, "job": {"number"}}  # of the first line, of all others


@dataclass(frozen=True, kw_only=True)
class Job:
    """Fields:
    number: its place in the sweep, from 0
    overrides: its settings as on the command line
    label: those of them in which the jobs differ
    folder: its run folder, as soon as that is known
    end: finished, failed (a defect, or the machine's), refused (bad input) or skipped; None: not ended
    why: the line to show if it did not finish
    trace: the traceback of a defect
    seconds: how long it took
    began: when, by the clock
    """

    number: int
    overrides: list[str]
    label: str = ""
    folder: str | None = None
    end: str | None = None
    why: str | None = None
    trace: str | None = None
    seconds: float = 0.0
    began: float | None = None


class Journal:
    """The folder of one sweep. Its parent process holds its lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = filelock.FileLock(folder / "lock")

    def open(self, stage: str, command: list[str], swept: list[str], total: int | None) -> None:
        """Begin: called by the parent with the options in which jobs differ and their number, where they are known.

        Journals of the same command that nobody holds any more are removed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock.acquire()
        for other in journals(self.folder.parent):
            about = other.about
            same = (about.get("stage"), about.get("command")) == (stage, command)
            if same and other.folder != self.folder and not other.alive():
                other.remove()
        (self.folder / FILE).touch()
        self.append({"stage": stage, "command": command, "total": total, "swept": swept, "started": time.time()})

    def close(self) -> None:
        """End: a sweep with nothing left to do leaves its runs, and what its sweeper chose."""
        jobs, total = self.jobs(), self.about.get("total")
        done = all(job.end in ("finished", "skipped", "refused") for job in jobs) and total in (None, len(jobs))
        self.lock.release()
        if done and not (self.folder / CHOICE).is_file():
            shutil.rmtree(self.folder, ignore_errors=True)
        elif done or not self.since(0)[0]:  # without jobs it was refused before the first one
            self.remove()

    def remove(self) -> None:
        """Forget an older sweep, but for what a cluster's launcher keeps there: its jobs may still wait in a queue."""
        for name in (FILE, AGENDA, orphans.FILE, "append.lock", "multirun.yaml", "lock"):
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            self.folder.rmdir()

    def removed(self) -> bool:
        """Whether somebody has removed it under the running sweep, as whoever removes the folder of all runs does."""
        return not (self.folder / FILE).exists()

    def alive(self) -> bool:
        """Whether the sweep still runs."""
        try:
            with filelock.FileLock(self.folder / "lock", timeout=0):
                return False
        except filelock.Timeout:
            return True
        except OSError:  # removed in this moment
            return False

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line; one process at a time, because not every file system appends a line whole.

        Raises:
            OSError: the journal cannot be written, is locked for more than ten seconds, or was removed: only `open`
                creates one, so a worker that outlives its parent cannot bring back what the next sweep has removed.
        """
        file = self.folder / FILE
        file.stat()
        with filelock.FileLock(self.folder / "append.lock", timeout=10), file.open("rb+") as lines:
            torn = lines.seek(0, os.SEEK_END) > 0 and (lines.seek(-1, os.SEEK_END), lines.read(1))[1] != b"\n"
            lines.write(b"\n" * torn + json.dumps(files.sealed(entry)).encode() + b"\n")

    def since(self, place: int) -> tuple[list[dict[str, Any]], int]:
        """What jobs have noted behind `place`, in bytes from the start, and the place of what is to come.

        Nothing new if the sweep is gone. A line is left out while it is being written, or if its process was killed
        before it was whole.
        """
        try:
            with (self.folder / FILE).open("rb") as lines:
                lines.seek(place)
                whole = [line for line in lines if line.endswith(b"\n")]
        except FileNotFoundError:
            return [], place
        found = (_entry(line) for line in whole)
        return [entry for entry in found if entry and KEYS["job"] <= entry.keys()], place + sum(map(len, whole))

    @property
    def about(self) -> dict[str, Any]:
        """stage, command, total, swept (the options that differ among the jobs) and started; empty when it is gone."""
        try:
            with (self.folder / FILE).open("rb") as lines:
                found = _entry(lines.readline())
        except FileNotFoundError:
            return {}
        return found if found and KEYS["about"] <= found.keys() else {}

    def job(self, number: int, overrides: list[str]) -> Job:
        """A new job of this sweep."""
        differ = [word for word in overrides if word.partition("=")[0] in self.about.get("swept", [])]
        label = " ".join(differ or overrides) or "the run"
        return Job(number=number, overrides=overrides, label=label, began=time.time())

    def note(self, job: Job) -> None:
        """Record the job's state. The journal is informative only: if it cannot be written, the job continues."""
        self._try(vars(job))

    def forget(self, job: Job) -> None:
        """An interrupted job is as if it had not begun."""
        self._try({"number": job.number, "forgotten": True})

    def _try(self, entry: dict[str, Any]) -> None:
        try:
            self.append({name: value for name, value in entry.items() if value is not None})
        except FileNotFoundError:
            pass  # it was removed, which the sweep's parent says
        except OSError as error:
            LOG.warning(f"{self.folder}: {error.strerror or error}; this job is not in the list of the sweep")

    def jobs(self) -> list[Job]:
        """All jobs that have begun, by number: the last that was noted of each."""
        found = {entry["number"]: entry for entry in self.since(0)[0]}
        return [job_of(entry) for _, entry in sorted(found.items()) if "forgotten" not in entry]


def job_of(entry: dict[str, Any]) -> Job:
    """What a line says of a job."""
    known = {option.name for option in fields(Job)}
    found: dict[str, Any] = {"overrides": []} | {name: value for name, value in entry.items() if name in known}
    return Job(**found)


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None if the line is not whole."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and files.unbroken(found) else None


def journals(root: Path) -> list[Journal]:
    """The sweeps under a journal folder, oldest first."""
    return [Journal(file.parent) for file in sorted(root.glob(f"*/{FILE}"))]
