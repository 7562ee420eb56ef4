"""What the scripts that make a page from run folders share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from nba_cli import files
from nba_cli.errors import Refused
from nba_cli.reports.mixtures import mixed
from nba_cli.runs import reading
from nba_cli.runs.record import Record

Page = Callable[[Sequence[Record], Path, Path], str]
"""Records, the folder that they come from, the file that is to be written -> what it will say."""


def alike_but_for_defenses(records: Sequence[Record], what: str) -> None:
    """Refuse records that do not belong into one table; `what` they are.

    Raises:
        Refused: they differ in more than attack, defense and seeds.
    """
    others = {name for name in mixed(records, ["attack", "defense"], []) if not name.startswith("defense.")}
    if others:
        raise Refused(f"{', '.join(sorted(others))} differ among the {what}: give a folder of runs that do not.")


def written(description: str | None, page: Page) -> None:
    """Write the page of the folder and into the file that the command line names; bad input ends with exit code 2."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    if not given.folder.is_dir():
        parser.error(f"{given.folder}: no such folder. Give the folder that holds the runs.")
    try:
        text = page(reading.read_all(given.folder), given.folder, given.file)
    except Refused as refused:
        parser.error(str(refused))
    files.write(given.file, text)
