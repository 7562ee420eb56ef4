"""A sweep as its parent process sees it: one bar over all jobs, and how it ended."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import rich
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from nba_cli import console
from nba_cli.cli import agenda, orphans, planning
from nba_cli.cli.forecast import Outlook, progress_words
from nba_cli.cli.journal import CHOICE, FILE, Job, Journal, job_of
from nba_cli.cli.launchers import has_workers, is_parallel
from nba_cli.cli.words import recorded
from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.runs import command_line, folder, summary

EVERY = 0.5  # seconds between looks at the journal
LISTED = 40  # runs, and jobs that failed, that are listed when the sweep ends
FORECAST_EVERY = 5.0  # seconds, while no job begins or ends: it looks at many folders


class Sweep(Callback):
    """Hydra's handle on a sweep: opens its journal and its view. Hydra builds it, so the command line finds it here."""

    current: ClassVar[Sweep | None] = None
    heading = ""  # what it has before it, which its sweeper says when nothing refuses it any more

    def __getstate__(self) -> dict:
        """Parallel launchers send callbacks to their processes; journal and view stay with the parent."""
        return {}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        hydra, overrides = config.hydra, list(config.hydra.overrides.task)
        self.options = [word for word in hydra.overrides.hydra if word != "hydra.mode=MULTIRUN"]
        sources = hydra.runtime.config_sources  # Hydra's flags are no overrides
        self.options += [f"--config-dir={each.path}" for each in sources if each.provider == "command-line"]
        total, swept, outlook = hydra.sweeper.get("n_trials"), list[str](), None
        if total is None:
            with contextlib.suppress(HydraException, Refused):  # the sweeper is about to say it
                loader = GlobalHydra.instance().config_loader()
                jobs = planning.jobs_of(loader, config)
                total, swept = len(jobs), jobs.swept
                outlook, self.heading = planning.foreseen(loader, config, jobs)
        self.journal = Journal(Path(hydra.sweep.dir))
        kept = recorded(overrides)
        self.journal.open(hydra.job.name, kept + self.options, swept, total)
        self.options += [word for word in overrides if word not in kept]  # the commands that it ends with need them
        if has_workers(hydra):
            orphans.hold(self.journal.folder)
        if outlook:
            agenda.write(outlook.agenda, self.journal.folder)
        self.view = SweepView(self.journal, total, is_parallel(hydra), outlook)
        self.view.start()
        Sweep.current = self

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Hydra keeps what a job returned until the sweep ends, with all of its settings, which nobody reads."""
        job_return.cfg = job_return.hydra_cfg = job_return.overrides = None

    def conclude(self) -> int:
        """Show how the sweep ended, finished or interrupted; returns the exit code."""
        Sweep.current = None
        self.view.stop()
        code = conclude(self.journal, self.options)
        self.journal.close()
        return code


class SweepView:
    """Watches a journal in a thread.

    `parallel`: the launcher may run the jobs in other processes, which print nothing, so each is announced here when it
    ends.
    """

    def __init__(self, journal: Journal, total: int | None, parallel: bool, outlook: Outlook | None = None) -> None:
        self.journal, self.total, self.parallel, self.outlook = journal, total, parallel, outlook
        self.seen = 0  # of the journal, in bytes
        self.running: dict[int, Job] = {}
        self.ended: dict[int, Job] = {}
        self.left, self.asked = "", -FORECAST_EVERY
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.live = console.jobs_bar() if rich.get_console().is_terminal else None
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
        """Read what is new in the journal, and show it."""
        entries, self.seen = self.journal.since(self.seen)
        for entry in entries:
            if "end" not in entry and "forgotten" not in entry:
                self.running[entry["number"]] = job_of(entry)
                continue
            self.running.pop(entry["number"], None)
            if "end" in entry and entry["number"] not in self.ended:
                job = self.ended[entry["number"]] = job_of(entry)
                if self.parallel:
                    LOG.info(self.line(job))
        if self.live:
            if self.outlook and (entries or time.monotonic() - self.asked >= FORECAST_EVERY):
                self.left, self.asked = self.forecast(self.outlook), time.monotonic()
            note = progress_words(list(self.ended.values()), len(self.running), self.left)
            self.live.update(self.task, completed=len(self.ended), note=note)

    def forecast(self, outlook: Outlook) -> str:
        """What is left. One that fails is the last: the bar is drawn without it, whatever it stumbled over."""
        try:
            return outlook.left(self.running | self.ended)
        except Exception as error:
            LOG.warning(f"sweep: {planning.untold(error)}")
            self.outlook = None
            return ""

    def line(self, job: Job) -> str:
        count = f"{len(self.ended)}/{self.total}" if self.total else str(len(self.ended))
        return f"{count:>7}  {job.end:<9} {job.label}  {job.why or f'{job.seconds:.0f} s'}"


def conclude(journal: Journal, options: list[str]) -> int:
    """Print the finished runs side by side, the jobs that failed, and the commands that repeat only these.

    Returns the exit code: 0, 2 when all that failed was bad input, else 1.
    """
    about, jobs = journal.about, journal.jobs()
    if not about:
        root = journal.folder.parent.parent
        LOG.error(f"output={root}: the folder was removed under the running sweep. Run the command again.")
        return 1
    if about["stage"] != "preview":
        show_finished([Path(job.folder) for job in jobs if job.end == "finished" and job.folder])
    choice = journal.folder / CHOICE
    if choice.is_file():
        LOG.info(f"what the sweeper chose, kept in {choice}:")
        for line in choice.read_text(encoding="utf-8").splitlines():
            LOG.info(f"  {line}")
    bad = [job for job in jobs if job.end in ("failed", "refused", None)]
    if bad:
        show_failed(bad, journal, options)
    return 0 if not bad else 2 if all(job.end == "refused" for job in bad) else 1


def show_finished(folders: list[Path]) -> None:
    if not folders:
        return
    rich.print()
    rich.print(summary.side_by_side(dict.fromkeys(folders[:LISTED])))
    if len(folders) > LISTED:
        LOG.info(f"… and {len(folders) - LISTED} more: nba table shows them all")


def show_failed(bad: list[Job], journal: Journal, options: list[str]) -> None:
    """List the jobs that did not finish, where their tracebacks are, and the commands that run just them."""
    about = journal.about
    LOG.error(f"{len(bad)} of {about['total'] or len(journal.jobs())} jobs failed:")
    for job in bad[:LISTED]:
        LOG.info(f"  {job.label}: {job.why or 'killed'}")
        if job.end == "failed":
            LOG.info(f"    traceback: {trace_of(job, journal)}")
    if len(bad) > LISTED:
        LOG.info(f"  … and {len(bad) - LISTED:,} more")
    again = [job.overrides for job in bad if job.end != "refused"]  # the others would be refused again
    if again:
        LOG.info("To run just these again:")
        for line in command_line.commands(about["stage"], again, options):
            LOG.info(f"  {line}")


def trace_of(job: Job, journal: Journal) -> Path:
    """The run's own log, or the journal in the case of a job that failed before it had a folder."""
    log = Path(job.folder or "") / folder.RUN_LOG
    return log if job.folder and log.is_file() else journal.folder / FILE
