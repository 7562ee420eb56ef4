"""The tables in results/ are those that the records beside them make."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest

from nba_cli.reports import table

ROOT = Path(__file__).parents[1]
TABLES = [
    line.split("|")
    for line in (ROOT / "results" / "tables.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize(("name", "words"), TABLES, ids=[name for name, _ in TABLES])
def test_a_kept_table_is_what_its_records_make(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for ending in ("md", "csv"):
        made, kept = tmp_path / f"table.{ending}", ROOT / "results" / f"{name}.{ending}"
        table.main([*shlex.split(words), f"file={made}"])
        assert without_command(made) == without_command(kept), "make tables"
        assert (kept.with_suffix(".tex")).is_file() and (kept.with_suffix(".html")).is_file()


def without_command(file: Path) -> list:
    """The lines of a file but for the command that made it, which names another file."""
    if file.suffix == ".csv":
        return list(csv.reader(file.read_text().splitlines()))
    return [line for line in file.read_text().splitlines() if not line.startswith("    nba table")]
