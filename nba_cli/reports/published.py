"""Published numbers beside ours, from a CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nba_cli import files
from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.reports.report import CONTROL
from nba_cli.runs.record import Record

COLUMNS = ("source", "dataset", "victim", "attack", "defense", "poison_rate", "acc", "asr", "ra")

SHIPPED = Path(__file__).with_name("published.csv")
"""What others published of attacks and defenses, each row with its source: compare=published."""

NAMES = {
    "badnet": "badnets",
    "blended": "blend",
    "trojannn": "trojan",
    "lc": "cl",
    "i-bau": "ibau",
    "ft-sam": "ftsam",
}
"""How others call what the registries here name otherwise."""


@dataclass(frozen=True)
class Published:
    """One published row; the figures that it gives, and the poison rate or None, in [0,1]."""

    source: str
    dataset: str
    victim: str
    attack: str
    defense: str
    rate: float | None
    figures: dict[str, float]

    @property
    def origin(self) -> str:
        return f"{self.source}: {self.victim}"

    @property
    def label(self) -> str:
        return self.origin + (f", {100 * self.rate:g} %" if self.rate is not None else "")


def read(name: str) -> list[Published]:
    """The rows of compare=NAME: those that come with nba if it is `published`, else those of a file.

    Raises:
        Refused: as `read_csv`.
    """
    return read_csv(SHIPPED if name == "published" else Path(name))


def read_csv(file: Path) -> list[Published]:
    """All rows of the file.

    Raises:
        Refused: it cannot be read, lacks a column or holds what is no number or no share.
    """
    try:
        with files.regular(file).open(newline="", encoding="utf-8-sig") as lines:
            found = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"compare={file}: cannot be read ({error}).") from error
    if lacking := [name for name in COLUMNS if not found or name not in found[0]]:
        raise Refused(f"compare={file}: lacks the columns {', '.join(lacking)}; wanted are {', '.join(COLUMNS)}.")
    rows = []
    for number, row in enumerate(found, start=2):
        if None in [row[name] for name in COLUMNS]:
            raise Refused(f"compare={file}: line {number} has fewer than {len(COLUMNS)} fields.")
        try:
            figures = {name: float(row[name]) / 100 for name in ("acc", "asr", "ra") if row[name]}
            rate = float(row["poison_rate"]) if row["poison_rate"] else None
        except (TypeError, ValueError) as error:
            raise Refused(f"compare={file}: line {number}: {error}.") from error
        for name, share in figures.items():
            if not 0 <= share <= 1:
                raise Refused(f"compare={file}: line {number}: {name}={row[name]} is in percent, from 0 to 100.")
        if rate is not None and not 0 <= rate <= 1:
            raise Refused(f"compare={file}: line {number}: poison_rate={rate:g} is a share, in [0,1].")
        attack, defense = (NAMES.get(row[name].lower(), row[name].lower()) for name in ("attack", "defense"))
        rows.append(Published(row["source"], row["dataset"].lower(), row["victim"], attack, defense, rate, figures))
    return rows


def beside(rows: Iterable[Published], records: Sequence[Record]) -> list[Published]:
    """What was published for the attack, defense and data set of these runs; of several poison rates the nearest."""
    if not records:
        return []
    first = records[0]
    same = [
        row
        for row in rows
        if (row.attack, row.defense, row.dataset)
        == (first.get("attack"), first.get("defense") or CONTROL, first.get("dataset"))
    ]
    rate = first.get("attack.rate") or 0.0
    nearest: dict[tuple[str, str], Published] = {}
    for row in sorted(same, key=lambda row: math.inf if row.rate is None else abs(row.rate - rate)):
        nearest.setdefault((row.source, row.victim), row)
    return list(nearest.values())


def warn_if_none(name: str, found: Iterable[Published]) -> None:
    """Tell of compare=NAME that has nothing beside ours."""
    if not any(True for _ in found):
        LOG.warning(f"compare={name}: none of its rows is for these attacks, defenses and data sets")
