"""One rich console, one log handler, progress bars: everything that a person reads while a stage runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rich
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from nba_cli.errors import Refused
from nba_cli.train import Report, Snapshot, silent

LOG = logging.getLogger("nba")
PIPE = 200  # columns where no terminal bounds them
QUIET_SECONDS = 2.0  # on plain output, no more than one progress line in this time


def console() -> Console:
    return rich.get_console()


class ConsoleHandler(logging.Handler):
    """Prints through the rich console, so that lines and a live bar do not garble each other."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "file_only", False):
            return
        style = (
            "bold red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else None
        )
        console().print(self.format(record), style=style, soft_wrap=True, markup=False, highlight=False)


def setup() -> None:
    """Route the `nba` logger to the console; called once per process, harmless when repeated."""
    if not console().is_terminal and "COLUMNS" not in os.environ:
        console().width = PIPE  # numbers and paths are never cut in a pipe
    if not any(isinstance(handler, ConsoleHandler) for handler in LOG.handlers):
        LOG.addHandler(ConsoleHandler())
        LOG.setLevel(logging.INFO)
        LOG.propagate = False


@contextmanager
def recording(path: Path) -> Iterator[None]:
    """Also append the log to `path`, with times, while the block runs; its traceback too if it fails."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    try:
        yield
    except Refused as error:
        handler.emit(LOG.makeRecord(LOG.name, logging.ERROR, "", 0, str(error), (), None))
        raise
    except Exception as error:
        trace = (type(error), error, error.__traceback__)
        handler.emit(LOG.makeRecord(LOG.name, logging.ERROR, "", 0, "failed", (), trace))
        raise
    finally:
        LOG.removeHandler(handler)
        handler.close()


class Bars:
    """Progress of the phases of a stage: a bar each on a terminal, else a plain line per epoch."""

    def __init__(self, history: Report = silent) -> None:
        self.history = history
        self.started: dict[str, float] = {}
        self.last_line = 0.0
        self.tasks: dict[str, TaskID] = {}
        self.live = (
            Progress(
                TextColumn("{task.description:<10}"),
                BarColumn(20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console(),
            )
            if console().is_terminal
            else None
        )

    def __enter__(self) -> Bars:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def __call__(
        self,
        phase: str,
        step: int,
        total: int,
        scalars: dict[str, float] | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.history(phase, step, total, scalars, snapshot)
        began = self.started.setdefault(phase, time.monotonic())
        trained = scalars is not None and "loss" in scalars
        note = None
        if scalars is not None:
            note = f"loss {scalars['loss']:.4f} ACC {100 * scalars['acc']:.2f}" if trained else counts(scalars)
        if self.live:
            task = self.tasks.get(phase)
            if task is None:
                task = self.tasks[phase] = self.live.add_task(escape(phase), total=total, note="")
            self.live.update(task, completed=step)
            if note:
                self.live.update(task, note=note)
        now = time.monotonic()
        if scalars and ("epoch" in scalars or not trained) and (now - self.last_line >= QUIET_SECONDS or step == total):
            self.last_line = now
            LOG.info(
                f"{phase:<10} step {step}/{total}  {note}  {now - began:.0f} s", extra={"file_only": bool(self.live)}
            )


def counts(scalars: dict[str, float]) -> str:
    """Such as "pruned 12 channels 336"."""
    return " ".join(f"{name} {value:g}" for name, value in scalars.items())


def header(title: str, rows: dict[str, str]) -> None:
    """What is about to run: a panel on a terminal, else plain lines; always in the run's log."""
    live = console().is_terminal
    if live:
        grid = Table.grid(padding=(0, 2))
        for key, value in rows.items():
            grid.add_row(f"[dim]{key}[/dim]", escape(value))
        console().print(Panel(grid, title=title, title_align="left"))
    for line in [title, *(f"  {key:<10}{value}" for key, value in rows.items())]:
        LOG.info(line, extra={"file_only": live})


def show(table: Table, out: Path) -> None:
    """The closing table and where everything is."""
    print_table(table)
    LOG.info(f"folder: {out}")


def print_table(table: Table) -> None:
    console().print(table)
