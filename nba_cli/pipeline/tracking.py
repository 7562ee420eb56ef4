"""What a run tells its logger: the settings, the curves as they come, in the end the record and the trigger's picture.

The run is worth more than what a logger shows of it. One that cannot be opened refuses the run before anything is
trained. From then on it works in a thread of its own: training never waits for it, and if it fails a warning says so.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from nba_cli import files
from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.loggers import Logger, Session, Subject
from nba_cli.pipeline.workbench import Workbench
from nba_cli.runs import folder
from nba_cli.runs.plain import to_plain
from nba_cli.runs.registry import CHOICES, kind
from nba_cli.runs.settings import DefendRun
from nba_cli.runs.sound import flatten, is_number
from nba_cli.training import Event, Progress

PAUSE = 60.0  # seconds that a logger which has failed is left alone: its package may have tried for minutes
Onward = Callable[[Progress], Progress]
"""Progress -> progress that passes everything on to it first, and then to the logger."""


@contextmanager
def tracked(bench: Workbench) -> Iterator[Onward]:
    """Show the bench's run by its logger while the block makes it, up to its finished record.

    Raises:
        Refused: the logger cannot be opened.
    """
    session = opened(bench)
    if session is None:
        yield lambda progress: progress
        return
    told, finished = Told(session), False
    try:
        yield told.after
        finished = True
    finally:
        told.end(*(ending(bench.out) if finished else (None, None)))


def opened(bench: Workbench) -> Session | None:
    """The session of the bench's run: that of its earlier attempts, unless the run is done again from the beginning."""
    run, file = bench.run, files.regular(bench.out / folder.LOGGED)
    kept = "" if run.overwrite or not file.is_file() else file.read_text(encoding="utf-8", errors="replace")
    subject = Subject(
        name=f"{bench.stage}/{bench.out.name}",
        number=kept if re.fullmatch("[0-9a-f]{32}", kept) else uuid.uuid4().hex,
        resumed=not run.overwrite and (bench.out / folder.CHECKPOINT).is_file(),
        root=Path(run.output),
        tags=tags_of(bench),
        config=(config := to_plain(run)),
        settings=dict(flatten(config)),
    )
    try:
        session = run.logger.open(subject)
    except Exception as error:
        raise Refused(f"logger={name_of(run.logger)}: {in_a_line(error)} logger=none runs without it.") from error
    if session is not None:
        files.write(file, subject.number)
        LOG.info(f"logger: {session.place}")
    return session


def name_of(logger: Logger) -> str:
    return next(name for name, cls in CHOICES["logger"].items() if cls is type(logger))


def tags_of(bench: Workbench) -> dict[str, str]:
    run = bench.run
    parts = {"dataset": kind(run.dataset), "victim": run.victim.label, "attack": kind(run.attack)}
    defense = {"defense": kind(run.defense)} if isinstance(run, DefendRun) else {}
    return {"stage": bench.stage} | parts | defense


def ending(out: Path) -> tuple[dict[str, float], Path | None]:
    """The numbers of a finished run's record by dotted path, and the picture of its trigger."""
    record = {name: value for name, value in folder.read_metrics(out).items() if name not in ("settings", "schema")}
    picture = out / folder.PICTURE
    numbers = {name: value for name, value in flatten(record) if is_number(value)}
    return numbers, picture if picture.is_file() else None


def in_a_line(error: BaseException) -> str:
    """What an error of another package says, with its kind: some say a word, some fill a screen."""
    first = str(error).strip().partition("\n")[0][:200]
    return f"{type(error).__name__}: {first.rstrip('.')}."


class Told:
    """A session that is told things in turn, by a thread that is not the training's."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="logger")
        self.missing, self.left_alone = 0, 0.0  # events that it could not be told; until when no more are tried

    def after(self, progress: Progress) -> Progress:
        def both(event: Event) -> None:
            progress(event)
            if event.scalars:
                self.thread.submit(self.point, event.phase, dict(event.scalars), event.step)

        return both

    def point(self, phase: str, values: dict[str, float], step: int) -> None:
        if time.monotonic() < self.left_alone:
            self.missing += 1
            return
        try:
            self.session.scalars(phase, values, step)
        except Exception as error:
            self.left_alone = time.monotonic() + PAUSE
            self.missing += 1
            if self.missing == 1:
                LOG.warning(f"logger: {in_a_line(error)} The run goes on; the logger is tried again every minute")

    def end(self, figures: dict[str, float] | None, picture: Path | None) -> None:
        """Wait until the session has been told everything, and the end."""
        last = self.thread.submit(self.session.end, figures, picture)
        self.thread.shutdown()
        if error := last.exception():
            LOG.warning(f"logger: {in_a_line(error)} It does not show how the run ended")
        if self.missing:
            LOG.warning(f"logger: it lacks {self.missing} points of the curves; {folder.HISTORY} has every epoch")
