"""What the demo comes to over seeds, as README shows it: the mean and the range of victims, from their run folders.

nba defend --multirun +experiment=demo seed=0,1,2,3,4,5,6,7,8,9 output=FOLDER
python -m scripts.demo FOLDER FILE
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from nba_cli.defenses import DEFENSES
from nba_cli.reports.composition import origin
from nba_cli.reports.rows import row
from nba_cli.runs.record import Record
from scripts.pages import written

FIGURES = ("acc", "asr", "ra")


def spread(values: Iterable[float]) -> str:
    """The mean and, in brackets, the smallest and the largest."""
    found = list(values)
    return f"{statistics.mean(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def page(records: Sequence[Record], folder: Path, file: Path) -> str:
    """What made the table, and the table."""
    heading = ["# The demo over seeds", "", f"    python -m scripts.demo {folder} {file}", "", origin(records), ""]
    return "\n".join([*heading, "Mean and range over victims, in percent.", "", *table(records), ""])


def table(records: Iterable[Record]) -> list[str]:
    """Markdown: a row for each defense, one for the clean victims under the trigger, in percent."""
    runs = [row(record) for record in records]
    cleaned = [run for run in runs if run["stage"] == "defend"]
    lines = ["| defense | victims | ACC | ASR | RA |", "| --- | ---: | ---: | ---: | ---: |"]
    for defense in DEFENSES:
        if own := [run for run in cleaned if run["defense"] == defense]:
            lines.append(line(f"`{defense}`", len(own), [[run[name] for run in own] for name in FIGURES]))
    clean = [run for run in runs if run["stage"] == "attack" and run["attack"] == "none"]
    under = [run for run in runs if run["stage"] == "attack" and run["attack"] != "none"]
    references = [[run["acc"] for run in clean], *([run[name] for run in under] for name in ("floor", "reference"))]
    return [*lines, line("a clean victim, same trigger", len(under), references)]


def line(name: str, count: int, figures: list[list[float]]) -> str:
    return "| " + " | ".join([name, str(count), *map(spread, figures)]) + " |"


if __name__ == "__main__":
    written(__doc__, page)
