"""Progress of the phases of a stage, as a person sees it."""

from __future__ import annotations

import time
from collections.abc import Mapping

import rich
from rich.markup import escape
from rich.progress import TaskID, TextColumn

from nba_cli import console
from nba_cli.console import LOG
from nba_cli.training import Event, Progress, silent

QUIET_SECONDS = 2.0  # on plain output, no more than one progress line in this time


class Bars:
    """Progress of the phases of a stage: a bar each on a terminal, else a plain line per epoch.

    Every event is passed on to `onward` first.
    """

    def __init__(self, onward: Progress = silent) -> None:
        self.onward = onward
        self.started: dict[str, float] = {}
        self.last_line = 0.0
        self.tasks: dict[str, TaskID] = {}
        note = TextColumn("{task.fields[note]}")
        self.live = console.bars(note) if rich.get_console().is_terminal else None

    def __enter__(self) -> Bars:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        self.onward(event)
        now = time.monotonic()
        began = self.started.setdefault(event.phase, now)
        note = in_words(event.scalars) if event.scalars is not None else ""
        if self.live:
            if event.phase not in self.tasks:
                self.tasks[event.phase] = self.live.add_task(escape(event.phase), total=event.total, note="")
            self.live.update(self.tasks[event.phase], completed=event.step)
            if note:
                self.live.update(self.tasks[event.phase], note=note)
        if worth_a_line(event) and (now - self.last_line >= QUIET_SECONDS or event.step == event.total):
            self.last_line = now
            line = f"{event.phase:<10} step {event.step}/{event.total}  {note}  {now - began:.0f} s"
            LOG.info(line, extra={"file_only": bool(self.live)})


def worth_a_line(event: Event) -> bool:
    """Whether plain output has a line for it: the end of an epoch, or any measurement outside training."""
    return bool(event.scalars) and ("epoch" in event.scalars or "loss" not in event.scalars)


def in_words(scalars: Mapping[str, float]) -> str:
    """Such as "loss 0.1234 ACC 98.76" of a training, "pruned 12 channels 336" of anything else."""
    if "loss" in scalars:
        return f"loss {scalars['loss']:.4f} ACC {100 * scalars['acc']:.2f}"
    return " ".join(f"{name} {value:g}" for name, value in scalars.items())
