"""A sweep as its parent process sees it: one bar over all jobs, and how it ended."""

from __future__ import annotations

import threading
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from nba_cli import logs, tables
from nba_cli.sweeps import CHOICE, Job, Journal, commands

EVERY = 0.5  # seconds between looks at the journal
LISTED = 40  # runs that the closing table shows


class Overview:
    """Watches a journal in a thread. `parallel`: the jobs run in other processes, which print nothing, so each is
    announced here when it ends."""

    def __init__(self, journal: Journal, total: int | None, parallel: bool) -> None:
        self.journal, self.total, self.parallel = journal, total, parallel
        self.ended: dict[int, Job] = {}
        self.running = 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        columns = (TextColumn("all jobs  "), BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
        self.live = Progress(*columns, console=logs.console()) if logs.console().is_terminal else None
        if self.live:
            self.task = self.live.add_task("", total=total, note="")

    def start(self) -> None:
        if self.live:
            self.live.start()
        self.thread.start()

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()
        self.look()
        if self.live:
            self.live.stop()

    def watch(self) -> None:
        while not self.stopped.wait(EVERY):
            self.look()

    def look(self) -> None:
        """Read what changed in the journal, and show it."""
        fresh = self.journal.jobs(known=self.ended)
        self.running = sum(job.state == "running" for job in fresh)
        for job in fresh:
            if job.state != "running":
                self.ended[job.number] = job
                if self.parallel:
                    logs.LOG.info(self.line(job))
        if self.live:
            self.live.update(self.task, completed=len(self.ended), note=self.note())

    def line(self, job: Job) -> str:
        count = f"{len(self.ended)}/{self.total}" if self.total else str(len(self.ended))
        return f"{count:>7}  {job.state:<9} {job.label}  {job.why or f'{job.seconds:.0f} s'}"

    def note(self) -> str:
        return progress(list(self.ended.values()), self.running, self.total)


def progress(ended: list[Job], running: int, total: int | None) -> str:
    """Such as "2 running, 0 failed, about 3 min left"."""
    bad = sum(job.state in ("failed", "refused") for job in ended)
    left = remaining(ended, running, total)
    return f"{running} running, {bad} failed" + (f", about {clock(left)} left" if left is not None else "")


SKIPPED = 1.0  # seconds; a job that took less had nothing to do


def remaining(ended: list[Job], running: int, total: int | None) -> float | None:
    """Seconds until a sweep is through, if its other jobs take what those took that had something to do."""
    took = [job.seconds for job in ended if job.seconds >= SKIPPED]
    if not took or total is None:
        return None
    return sum(took) / len(took) * (total - len(ended)) / max(1, running)


def clock(seconds: float) -> str:
    """90 -> "2 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def conclude(journal: Journal, options: list[str]) -> int:
    """Print the runs beside each other, what failed and how to run just that again; returns the exit code: 0, 2 when
    all that failed was bad input, else 1."""
    about, jobs = journal.about, journal.jobs()
    finished = [Path(job.folder) for job in jobs if job.state == "finished" and job.folder]
    measured = finished if about["stage"] != "preview" else []
    if measured:
        logs.console().print()
        logs.print_table(tables.side_by_side(dict.fromkeys(measured[:LISTED])))
        if len(measured) > LISTED:
            logs.LOG.info(f"… and {len(measured) - LISTED} more: nba table shows them all")
    choice = journal.folder / CHOICE
    if choice.is_file():
        logs.LOG.info(f"what the sweeper chose, kept in {choice}:")
        for line in choice.read_text(encoding="utf-8").splitlines():
            logs.LOG.info(f"  {line}")
    bad = [job for job in jobs if job.state in ("failed", "refused", "running")]
    if bad:
        logs.LOG.error(f"{len(bad)} of {about['total'] or len(jobs)} jobs failed:")
        for job in bad:
            logs.LOG.info(f"  {job.label}: {job.why or 'killed'}")
            if job.state == "failed":
                logs.LOG.info(f"    traceback: {trace_of(job, journal)}")
        again = [job for job in bad if job.state != "refused"]  # the others would be refused again
        if again:
            logs.LOG.info("To run just these again:")
            for line in commands(about["stage"], again, options):
                logs.LOG.info(f"  {line}")
    return 0 if not bad else 2 if all(job.state == "refused" for job in bad) else 1


def trace_of(job: Job, journal: Journal) -> Path:
    """The run's own log, or the journal's entry of a job that failed before it had a folder."""
    log = Path(job.folder or "") / "run.log"
    return log if job.folder and log.is_file() else journal.folder / "jobs" / f"{job.number}.json"
