"""What a sweep has before it: its jobs, and the runs that each of them needs first. Its parent writes it down, and
whoever looks at the sweep reads it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nba_cli import files
from nba_cli.cli.journal import AGENDA
from nba_cli.runs import folder
from nba_cli.runs.durations import Workload

FINISHED, BEGUN, TO_DO, REFUSED, SKIPPED = "finished", "begun", "to do", "refused", "skipped"


@dataclass(frozen=True, kw_only=True)
class Need:
    """A run that a job trains first; `what` it serves as, such as "victim"."""

    what: str
    work: Workload


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A job as it stands before the sweep.

    Fields:
        label: the settings in which the jobs differ
        state: FINISHED, BEGUN (it was interrupted, or somebody runs it), TO_DO, REFUSED or SKIPPED
        why: of one that is refused or skipped
        own: its own run; None if it has none
        needs: the runs that are missing before it, in the order in which they are trained
        again: its run is done even where it is finished
    """

    label: str
    state: str
    why: str = ""
    own: Workload | None = None
    needs: tuple[Need, ...] = ()
    again: bool = False


Agenda = Sequence[Planned]


def state_of(out: Path, again: bool) -> str:
    if folder.finished(out) and not again:
        return FINISHED
    return (
        BEGUN if any((out / name).is_file() for name in (folder.CHECKPOINT, folder.HISTORY, folder.CONFIG)) else TO_DO
    )


def first(agenda: Agenda) -> list[Need]:
    """The runs that are trained before the jobs that need them, and are no job themselves; each once."""
    jobs = {planned.own.folder for planned in agenda if planned.own}
    needs = {need.work.folder: need for planned in agenda for need in planned.needs if planned.state != FINISHED}
    return [need for place, need in needs.items() if place not in jobs]


def heading(agenda: Agenda) -> str:
    """Such as "16 jobs, 4 finished, 2 victims to train first"."""
    counts = Counter(planned.state for planned in agenda)
    shown = [f"{counts[state]} {state}" for state in (FINISHED, BEGUN, REFUSED, SKIPPED) if counts[state]]
    kinds = Counter(need.what for need in first(agenda))
    trained = " and ".join(plural(kinds[what], what) for what in sorted(kinds, reverse=True))
    return ", ".join([plural(len(agenda), "job"), *shown, *([f"{trained} to train first"] if trained else [])])


def plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def write(agenda: Agenda, place: Path) -> None:
    """Keep it in the folder of the sweep's journal."""
    plain = {"jobs": [dataclasses.asdict(planned) for planned in agenda]}
    files.write(place / AGENDA, json.dumps(files.sealed(plain)) + "\n")


def read(place: Path) -> Agenda | None:
    """What `write` has kept; None if there is none, or it is damaged."""
    try:
        found = json.loads((place / AGENDA).read_bytes())
        return [planned_of(each) for each in found["jobs"]] if files.unbroken(found) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def planned_of(plain: dict[str, Any]) -> Planned:
    needs = tuple(Need(what=each["what"], work=work_of(each["work"])) for each in plain["needs"])
    typed: dict[str, Any] = {"needs": needs, "own": plain["own"] and work_of(plain["own"])}
    return Planned(**{**plain, **typed})


def work_of(plain: dict[str, Any]) -> Workload:
    parts: dict[str, Any] = {"parts": tuple(plain["parts"])}
    return Workload(**{**plain, **parts})
