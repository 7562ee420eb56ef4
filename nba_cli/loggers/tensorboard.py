"""TensorBoard: event files in a folder for each run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PIL import Image

from nba_cli.loggers.base import Logger, Session, Subject

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FLUSH = 10  # seconds until a point is on disk


@dataclass(kw_only=True)
class TensorBoard(Logger):
    """Fields:
    folder: where the folders of the runs lie, for tensorboard --logdir; null: `tensorboard` in the folder of all runs
    """

    package: ClassVar[str | None] = "tensorboard"
    folder: str | None = None

    def open(self, subject: Subject) -> Session:
        root = subject.root / "tensorboard" if self.folder is None else Path(self.folder)
        return TensorBoardSession(root / subject.name, subject)


class TensorBoardSession(Session):
    """A new file of events beside those of earlier sessions.

    It says from which step on the earlier ones no longer hold: all of them, unless the run was resumed.
    """

    def __init__(self, folder: Path, subject: Subject) -> None:
        folder.mkdir(parents=True, exist_ok=True)  # now: one that cannot be made is refused
        self.folder, self.subject = folder, subject
        self.place = str(folder)
        self.writer: SummaryWriter | None = None

    def scalars(self, phase: str, values: Mapping[str, float], step: int) -> None:
        writer = self.written_from(step)
        for name, value in values.items():
            writer.add_scalar(f"{phase}/{name}", value, step)

    def end(self, figures: Mapping[str, float] | None, picture: Path | None) -> None:
        if figures is not None:
            writer = self.written_from(0)
            for name, value in figures.items():
                writer.add_scalar(name.replace(".", "/"), value, 0)  # TensorBoard makes a section of what precedes /
            if picture is not None:
                with Image.open(picture) as image:
                    writer.add_image("trigger", np.asarray(image.convert("RGB")), 0, dataformats="HWC")
        if self.writer is not None:
            self.writer.close()

    def written_from(self, step: int) -> SummaryWriter:
        """The writer, which is made when there is something to write, at this step."""
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            resumed = self.subject.resumed
            self.writer = SummaryWriter(str(self.folder), purge_step=step if resumed else 0, flush_secs=FLUSH)
            if not resumed:
                for name, pairs in (("tags", self.subject.tags), ("config", self.subject.settings)):
                    rows = "".join(f"| {key} | {value} |\n" for key, value in pairs.items())
                    self.writer.add_text(name, f"| | |\n| --- | --- |\n{rows}", 0)
        return self.writer
