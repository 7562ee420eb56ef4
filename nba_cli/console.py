"""One rich console and one log handler: everything that a person reads."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import rich
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from nba_cli.errors import Refused

LOG = logging.getLogger("nba")
PIPE = 200  # columns if no terminal bounds them


class ConsoleHandler(logging.Handler):
    """Prints through the rich console, so that lines and a live bar do not garble each other."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "file_only", False):
            return
        style = (
            "bold red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else None
        )
        rich.get_console().print(self.format(record), style=style, soft_wrap=True, markup=False, highlight=False)


def setup() -> None:
    """Route the `nba` logger to the console; called once per process, harmless when repeated."""
    if not rich.get_console().is_terminal and "COLUMNS" not in os.environ:
        rich.get_console().width = PIPE  # numbers and paths are never cut in a pipe
    if not any(isinstance(handler, ConsoleHandler) for handler in LOG.handlers):
        LOG.addHandler(ConsoleHandler())
        LOG.setLevel(logging.INFO)
        LOG.propagate = False


class RunLog(logging.FileHandler):
    """Appends to a file, with times. The run is worth more than its log: if it cannot be written, a warning says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.lost = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if not isinstance(error, OSError):
            raise
        if not self.lost:
            self.lost = True  # before the warning, which comes here too
            LOG.warning(f"{self.baseFilename}: {error.strerror}; the log lacks what follows")

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what it could not write is still in its buffer
            super().close()


@contextmanager
def recording(path: Path) -> Iterator[None]:
    """Also append the log to `path`, with times, while the block runs; its traceback too if it fails."""
    handler = RunLog(path)
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


def header(title: str, rows: dict[str, str]) -> None:
    """What is about to run: a panel on a terminal, else plain lines; always in the run's log."""
    live = rich.get_console().is_terminal
    if live:
        grid = Table.grid(padding=(0, 2))
        for key, value in rows.items():
            grid.add_row(f"[dim]{key}[/dim]", escape(value))
        rich.print(Panel(grid, title=title, title_align="left"))
    for line in [title, *(f"  {key:<10}{value}" for key, value in rows.items())]:
        LOG.info(line, extra={"file_only": live})


def bars(*more: ProgressColumn) -> Progress:
    """Bars on the terminal: what, how far, `more`, and the time that is left."""
    head = (TextColumn("{task.description:<10}"), BarColumn(20), MofNCompleteColumn())
    return Progress(*head, *more, TextColumn("left"), TimeRemainingColumn(), console=rich.get_console())


def jobs_bar() -> Progress:
    """One bar over all jobs; the note beside it goes on in another line where the terminal is narrow."""
    note = TextColumn("{task.fields[note]}", table_column=Column(ratio=1))
    columns = (TextColumn("all jobs"), BarColumn(12), MofNCompleteColumn(), note)
    return Progress(*columns, console=rich.get_console(), expand=True)


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[], object]]:
    """A bar for `total` things on a terminal, nothing elsewhere; yields what counts one."""
    if not rich.get_console().is_terminal:
        yield lambda: None
        return
    with bars() as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def closing(table: Table, out: Path) -> None:
    """Print the closing table of a stage, and where its files are."""
    rich.print(table)
    LOG.info(f"folder: {out}")
