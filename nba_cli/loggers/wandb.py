"""Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from nba_cli.loggers.base import Grouping, Session, Subject

TAG, GROUP = 64, 128  # letters; the service refuses longer ones


class Mode(Enum):
    """Whether a run is sent to the service at once, or kept in a folder for `wandb sync`."""

    offline = "offline"
    online = "online"


@dataclass(kw_only=True)
class WandB(Grouping):
    """Fields:
    project: the project
    entity: the user or team; null: that of the login
    mode: offline keeps the run in `wandb` in the folder of all runs, for `wandb sync`; online sends it at once
    """

    package: ClassVar[str | None] = "wandb"
    project: str = "nba"
    entity: str | None = None
    mode: Mode = Mode.offline

    def open(self, subject: Subject) -> Session:
        wandb = import_module("wandb")
        subject.root.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode.value,
            dir=str(subject.root),
            id=subject.number,
            resume="allow",
            name=subject.name,
            group=self.group[:GROUP] if self.group else None,
            job_type=subject.tags["stage"],
            tags=[f"{name}={value}"[:TAG] for name, value in subject.tags.items()],
            config=dict(subject.config),
            allow_val_change=True,  # a resumed run may have got another device
            reinit="create_new",  # a clean victim is trained while the run that needs it is open
            settings=wandb.Settings(console="off", silent=True),  # the terminal is ours
        )
        return WandBSession(run, str(run.url if self.mode is Mode.online else Path(run.dir).parent), wandb.Image)


class WandBSession(Session):
    """Every phase counts its own steps, so each is an axis of its own."""

    def __init__(self, run: Any, place: str, image: Any) -> None:
        self.run, self.place, self.image = run, place, image
        self.phases: set[str] = set()

    def scalars(self, phase: str, values: Mapping[str, float], step: int) -> None:
        if phase not in self.phases:
            self.run.define_metric(f"{phase}/*", step_metric=f"{phase}/step")
            self.phases.add(phase)
        self.run.log({f"{phase}/{name}": value for name, value in values.items()} | {f"{phase}/step": step})

    def end(self, figures: Mapping[str, float] | None, picture: Path | None) -> None:
        if picture is not None:
            self.run.log({"trigger": self.image(str(picture))})
        self.run.summary.update(dict(figures or {}))
        self.run.finish(exit_code=0 if figures is not None else 1)
