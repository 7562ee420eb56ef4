"""The record of a run's epochs."""

from __future__ import annotations

import json
from pathlib import Path

from nba_cli import files
from nba_cli.runs import folder
from nba_cli.training import Event


class History:
    """A file with a line per epoch. Continuing a run drops the lines that its checkpoint has not seen.

    `seconds`: what the last line says, the time spent so far, over all sessions.
    """

    def __init__(self, file: Path, resume: bool) -> None:
        self.file = file
        self.lines = folder.read_lines(file, "step", "seconds") if resume else []
        self.seconds: float = self.lines[-1]["seconds"] if self.lines else 0.0
        self.began = False

    def __call__(self, event: Event) -> None:
        if event.scalars is None or "epoch" not in event.scalars:
            return
        if not self.began:
            kept = [line for line in self.lines if line["step"] < event.step]
            files.write(self.file, "".join(json.dumps(line) + "\n" for line in kept))
            self.began = True
        self.seconds = event.scalars["seconds"]
        line = {"phase": event.phase, "step": event.step} | dict(event.scalars)
        files.append(self.file, json.dumps(files.sealed(line)))
