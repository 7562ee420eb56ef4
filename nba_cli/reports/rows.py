"""Finished runs as rows of data, one a run, named as compare=FILE, rows= and figures= name things."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nba_cli.errors import Refused
from nba_cli.reports.report import CONTROL, is_share
from nba_cli.runs import reading
from nba_cli.runs.record import SHORT, Record

if TYPE_CHECKING:
    from pandas import DataFrame  # pyright: ignore[reportMissingImports]

SOURCE = "nba"
FIGURES = ("acc", "asr", "ra", "der", "floor", "reference", "seconds", "forward", "backward")
ELSEWHERE = {"attack.rate", "schema", *SHORT.values()}
"""Settings and numbers that a row holds under another name, and the version of metrics.json."""


def in_units(figure: str, value: float | None) -> float | None:
    """A figure in the unit of tables, unrounded: shares in percent."""
    return round(100 * value, 10) if value is not None and is_share(figure) else value


def identity(record: Record) -> dict[str, Any]:
    """What a run is, under the names of the columns of compare=FILE; poison_rate in [0,1]."""
    return {
        "source": SOURCE,
        "dataset": record.get("dataset"),
        "victim": record.get("victim"),
        "attack": record.get("attack"),
        "defense": record.get("defense") or CONTROL,
        "poison_rate": record.get("attack.rate"),
    }


def row(record: Record) -> dict[str, Any]:
    """One run.

    Columns:
        source, dataset, victim, attack, defense, poison_rate: as in a file for compare=; poison_rate in [0,1]
        acc, asr, ra, der: percent
        floor, reference: ASR and RA of the clean reference victim, percent
        seconds, forward, backward: what the stage took: time, and images passed forward and backward
        stage, run, commit, day: attack, defend or evaluate; the name of the folder; with which code, and when
        all others: settings, then numbers of metrics.json in its own units, both by dotted path
    """
    figures = {name: in_units(name, record.figure(name)) for name in FIGURES}
    about = {"stage": record.get("stage"), "run": record.folder.name}
    about |= {name: record.origin[name] for name in ("commit", "day")}
    more = {**record.settings, **record.numbers}
    known = identity(record) | figures | about
    return known | {name: more[name] for name in more if name not in known and name not in ELSEWHERE}


def rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """A row a run, all with the same columns; None where a run has no such setting or number."""
    found = [row(record) for record in records]
    columns = dict.fromkeys(name for each in found for name in each)
    return [{name: each.get(name) for name in columns} for each in found]


def frame(root: Path) -> DataFrame:
    """All finished runs below a folder.

    Raises:
        Refused: pandas is not installed, or there is no such folder.
    """
    try:
        from pandas import DataFrame  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Refused("frame(…) makes a DataFrame of pandas: pip install -e '.[frame]' in nba's checkout.") from error
    if not root.is_dir():
        raise Refused(f"frame({str(root)!r}): no such folder. Give the folder that holds the runs.")
    return DataFrame(rows(reading.read_all(root)))
