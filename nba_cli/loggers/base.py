"""What a logger is: it opens a session for a run, and the session is told how the run goes."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from nba_cli.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The run that a session is about.

    Fields:
        name: the run's name, <stage>/<name of its folder>
        number: 32 hex digits that stay the same while the run is interrupted and resumed
        resumed: it goes on from a checkpoint; what was told of earlier steps still holds
        root: the folder of all runs
        tags: stage, dataset, victim, attack, and the defense if there is one
        config: the composed settings, nested
        settings: the same by dotted path
    """

    name: str
    number: str
    resumed: bool
    root: Path
    tags: Mapping[str, str]
    config: Mapping[str, Any]
    settings: Mapping[str, Any]


class Session:
    """One run as its logger shows it.

    `place` says where that is.
    """

    place: str

    def scalars(self, phase: str, values: Mapping[str, float], step: int) -> None:
        """Points of the curves of a phase, such as "victim"; steps count from 1 in each phase."""
        raise NotImplementedError

    def end(self, figures: Mapping[str, float] | None, picture: Path | None) -> None:
        """The run has ended: the numbers of its record by dotted path, and the picture of its trigger if there is one.

        Without figures it has failed or was interrupted.
        """
        raise NotImplementedError


@dataclass(kw_only=True)
class Logger:
    """Where to show a run while it is made: this one, `none`, nowhere. Fields of subclasses are their config schema."""

    package: ClassVar[str | None] = None  # what has to be installed; the extra is called like it

    def check(self) -> None:
        """Check that the package is there, without importing it.

        Raises:
            Refused: it is not.
        """
        if self.package is None:
            return
        found = importlib.util.find_spec(self.package)
        if found is None or found.origin is None:  # without origin: a mere folder of that name
            extra = f"pip install -e '.[{self.package}]' in nba's checkout."
            raise Refused(f"logger={self.package}: the package {self.package} is missing. {extra}")

    def open(self, subject: Subject) -> Session | None:
        """Begin to show a run, or go on if one of its number is there; None: it is shown nowhere.

        May raise whatever its package raises, as may what it returns.
        """
        return None

    def of_sweep(self, label: str) -> Self:
        """The logger for a job of the sweep with this label."""
        return self


@dataclass(kw_only=True)
class Grouping(Logger):
    """A logger that shows which runs belong together.

    Fields:
        group: what the run is shown under; null: its sweep, by its experiment or its command
    """

    group: str | None = None

    def of_sweep(self, label: str) -> Self:
        return replace(self, group=self.group or label)
