"""How long a sweep still takes, from what finished runs like its jobs took, and from how far its own have come."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nba_cli.cli.agenda import FINISHED, Agenda, Planned, heading, plural
from nba_cli.cli.journal import Job
from nba_cli.runs import folder
from nba_cli.runs.durations import Experience, Took, Workload


@dataclass(frozen=True)
class Span:
    """Seconds from `low` to `high`: if each run takes as long as the quickest of its like, or as the slowest.

    Fields:
        unknown: runs that are not in it, because none like them has finished, or they are slower than all of these
        bare: what it counts are trainings and defenses alone, without loading and measuring
    """

    low: float = 0.0
    high: float = 0.0
    unknown: int = 0
    bare: bool = False


def combined(spans: Iterable[Span], workers: int = 1) -> Span:
    """Of several runs that `workers` processes share: no less than the longest of them."""
    every = list(spans)
    return Span(
        max([sum(each.low for each in every) / workers, *(each.low for each in every)]),
        max([sum(each.high for each in every) / workers, *(each.high for each in every)]),
        sum(each.unknown for each in every),
        any(each.bare for each in every),
    )


def estimate(work: Workload, experience: Experience, elapsed: float = 0.0) -> Span:
    """What is left of a run that somebody has worked on for `elapsed` seconds.

    A run that took no longer than that is no example any more. Checkpoints tell how far the training of a victim is.
    """
    took = experience.of(work)
    if (left := training_left(work, elapsed > 0)) is not None:
        rests = [each.rest for each in took if each.rest is not None]
        return Span(left + min(rests, default=0.0), left + max(rests, default=0.0), bare=not rests)
    totals = [each.total - elapsed for each in took if each.total > elapsed]
    if not totals:
        return Span(unknown=1)
    return Span(min(totals), max(totals), bare=any(lacks_rest(each) for each in took))


def lacks_rest(took: Took) -> bool:
    return took.rest is None


def training_left(work: Workload, running: bool) -> float | None:
    """Seconds left of a victim's training that has a checkpoint, at its own speed so far; None if nobody knows."""
    out = Path(work.folder)
    if not work.epochs or not (out / folder.CHECKPOINT).is_file():
        return None
    lines = folder.read_lines(out / folder.HISTORY, "epoch", "seconds")
    if not lines:
        return None
    done, spent = lines[-1]["epoch"], lines[-1]["seconds"]
    if done <= 0:
        return None  # a damaged line
    since = time.time() - (out / folder.HISTORY).stat().st_mtime if running else 0.0
    return max(0.0, spent * (work.epochs / done - 1) - since)


def time_left(agenda: Agenda, jobs: Mapping[int, Job], experience: Experience, workers: int = 1) -> Span:
    """What is left of a sweep whose `jobs`, by number, have begun. A run that several of them need counts once."""
    experience.look({planned.own.kind.rpartition(" ")[2] for planned in agenda if planned.own})
    due: dict[str, Span] = {}
    for number, planned in enumerate(agenda):
        job = jobs.get(number)
        if planned.own is None or (job is not None and job.end is not None):
            continue
        works = to_do(planned, job)
        for place, work in enumerate(works):
            current = job is not None and place == 0  # the others have to wait for it
            if work.folder not in due or current:
                due[work.folder] = estimate(work, experience, elapsed(planned, job) if job and current else 0.0)
    return combined(due.values(), workers)


def to_do(planned: Planned, job: Job | None) -> list[Workload]:
    """What a job has still to do, in this order."""
    assert planned.own is not None
    needs = [need.work for need in planned.needs if not folder.finished(Path(need.work.folder))]
    done = folder.finished(Path(planned.own.folder)) and not planned.again
    return [] if done or (job is None and planned.state == FINISHED) else [*needs, planned.own]


def elapsed(planned: Planned, job: Job) -> float:
    """Seconds since a running job began with what it does now: since it began, or the last run it needed has ended."""
    if job.began is None:
        return 0.0
    records = [Path(need.work.folder) / folder.METRICS for need in planned.needs]
    return max(0.0, time.time() - max([job.began, *(file.stat().st_mtime for file in records if file.is_file())]))


def in_words(span: Span, suffix: str = "") -> str:
    """Such as "about 12 to 18 min left", with `suffix` after the time; nothing where nothing is left to do."""
    if not span.high:
        return f"time{suffix} unknown: no run like these has finished yet" if span.unknown else ""
    more = f" and {plural(span.unknown, 'run')} of unknown length" if span.unknown else ""
    bare = ", loading and measuring not counted" if span.bare else ""
    return f"about {between(span.low, span.high)}{suffix}{more}{bare}"


def between(low: float, high: float) -> str:
    """(720, 1080) -> "12 to 18 min", (40, 150) -> "40 s to 2 min", (60, 60) -> "60 s"."""
    shortest, longest = clock(low), clock(high)
    if shortest == longest:
        return longest
    number, _, unit = shortest.partition(" ")
    return f"{number if unit == longest.partition(' ')[2] else shortest} to {longest}"


def clock(seconds: float) -> str:
    """90 -> "2 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def progress_words(ended: list[Job], running: int, left: str) -> str:
    """Such as "2 running, 0 failed, about 3 to 4 min left"."""
    bad = sum(job.end in ("failed", "refused") for job in ended)
    return ", ".join([f"{running} running", f"{bad} failed", *([left] if left else [])])


class Outlook:
    """The time that an agenda takes, with what is known of runs like its own in the folder of all runs."""

    def __init__(self, agenda: Agenda, root: Path) -> None:
        self.agenda, self.experience = agenda, Experience(root)

    def heading(self, workers: int | None) -> str:
        """Such as "16 jobs, 4 finished, 2 victims to train first, about 12 to 18 min".

        None: nobody knows how many workers share them.
        """
        span = time_left(self.agenda, {}, self.experience, workers or 1)
        words = in_words(span) + (" one after another" if span.high and workers is None else "")
        return ", ".join([heading(self.agenda), *([words] if words else [])])

    def left(self, jobs: Mapping[int, Job]) -> str:
        """Such as "about 12 to 18 min left"; of a sweep of which nothing is left, nothing."""
        running = sum(job.end is None for job in jobs.values())
        return in_words(time_left(self.agenda, jobs, self.experience, max(1, running)), " left")
