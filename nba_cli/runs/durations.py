"""How long runs take: what finished ones took, and what that tells of one like them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nba_cli.errors import Refused
from nba_cli.runs import folder, reading
from nba_cli.runs.record import Record, to_text
from nba_cli.runs.sound import is_number

KIND = ("stage", "defense", "budget", "victim", "dataset.size", "dataset")
REST = "rest"  # of a record's seconds: loading and measuring, which do not depend on the length of a training

UNTIMED = 0.005
"""Seconds an epoch that a training takes at least, a few images on any machine; a record of less has lost its time.

Some that were resumed by an older version have. One that lost a part of it is not found out.
"""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a run has to do, as far as its time depends on it.

    Fields:
        folder: where its result lies
        kind: stage, defense, budget, victim, `dataset.size` and data set: runs of another kind tell nothing of it
        attack: the attack, which the time of a victim depends on as well
        epochs: length of its plans that are given in epochs
        images: length of its plans that are given in steps
        parts: the seconds that it will take, as its record will name them, besides REST
        processor: what computes it
        threads: how many of its threads do; None: nobody knows, or it is a GPU
    """

    folder: str
    kind: str
    attack: str
    epochs: float
    images: float
    parts: tuple[str, ...] = ()
    processor: str | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Took:
    """Seconds of a run: `own` are those of its training or defense; `rest` is unknown of older records."""

    own: float
    rest: float | None

    @property
    def total(self) -> float:
        return self.own + (self.rest or 0.0)


def workload(
    out: Path,
    settings: Mapping[str, Any],
    parts: tuple[str, ...] = (),
    processor: str | None = None,
    threads: int | None = None,
) -> Workload:
    """The workload of a run with these settings, by dotted path as in records."""
    stage = settings["stage"]
    share = settings.get("dataset.clean_ratio") or 1.0 if stage == "defend" else 1.0  # of the images in an epoch
    plans = [
        name.removesuffix(".epochs")
        for name in settings
        if name.endswith(".epochs") and name.startswith("defense." if stage == "defend" else "train.")
    ]
    steps = (plan for plan in plans if settings.get(f"{plan}.steps") is not None)
    return Workload(
        folder=str(out),
        kind=" ".join(to_text(settings.get(name)) for name in KIND),
        attack=to_text(settings.get("attack")),
        epochs=share * sum(settings[f"{plan}.epochs"] or 0 for plan in plans),
        images=sum(settings[f"{plan}.steps"] * (settings.get(f"{plan}.batch") or 1) for plan in steps),
        parts=parts,
        processor=processor,
        threads=threads,
    )


def scale(to: Workload, known: Workload) -> float | None:
    """How many times as long as `known` the trainings of `to` are; None if nobody knows.

    Plans in steps and plans in epochs cannot be compared: how many images an epoch has stands in no setting.
    """
    if (to.epochs, to.images) == (known.epochs, known.images):
        return 1.0
    if to.epochs and known.epochs and not (to.images or known.images):
        return to.epochs / known.epochs
    if to.images and known.images and not (to.epochs or known.epochs):
        return to.images / known.images
    return None


class Experience:
    """What the finished runs in a folder took. Each record is read once."""

    def __init__(self, root: Path) -> None:
        self.root, self.seen = root, set[Path]()
        self.known: dict[str, list[tuple[Workload, dict[str, float]]]] = {}  # by kind

    def look(self, datasets: Collection[str]) -> None:
        """Read what has finished since on these data sets. A damaged record tells nothing here; tables name it."""
        heads = [f"{stage}/{dataset}-" for stage in ("attack", "defend") for dataset in datasets]
        found = {file.parent for head in heads for file in self.root.glob(f"{head}*/{folder.METRICS}")}
        for out in sorted(found - self.seen):
            self.seen.add(out)
            with contextlib.suppress(Refused, TypeError, OverflowError):  # numbers that are text, or no machine's
                self.learn(reading.read_one(out))

    def learn(self, record: Record) -> None:
        work = workload(
            record.folder,
            record.settings,
            processor=record.origin["processor"],
            threads=record.origin["threads"],
        )
        if not (is_number(work.epochs) and is_number(work.images)):
            return  # such as text, which can be multiplied as well
        if record.get("stage") == "attack" and (record.figure("seconds") or 0.0) <= UNTIMED * work.epochs:
            return  # nobody timed its training
        seconds = {name.removeprefix("seconds."): value for name, value in record.numbers.items() if "seconds." in name}
        self.known.setdefault(work.kind, []).append((work, seconds))

    def of(self, work: Workload) -> list[Took]:
        """What it would have taken as each of the finished runs that are most like it; none is known: nothing."""
        like = [
            (known, Took(factor * sum(seconds.get(part, 0.0) for part in work.parts), seconds.get(REST)))
            for known, seconds in self.known.get(work.kind, [])
            if (factor := scale(work, known)) is not None
        ]
        closer = (
            lambda known, took: took.rest is not None,
            lambda known, took: known.attack == work.attack or not work.kind.startswith("attack "),
            lambda known, took: known.processor == work.processor,
            lambda known, took: work.threads in (None, known.threads),
            lambda known, took: scale(work, known) == 1.0,
        )
        for is_closer in closer:
            like = [each for each in like if is_closer(*each)] or like
        return [took for _, took in like]
