"""The tables in results/ are those that the records beside them make."""

from __future__ import annotations

import functools
import json
import re
import shlex
from pathlib import Path

import pytest

from nba_cli.reports import table
from nba_cli.runs import reading
from nba_cli.runs.declared import declared
from nba_cli.runs.versions import version_of

ROOT = Path(__file__).parents[1]
TABLES = [
    line.split("|")
    for line in (ROOT / "results" / "tables.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


read = functools.cache(reading.read)


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kept records are read once for all formats of all tables."""
    monkeypatch.setattr(reading, "read", lambda folders: read(tuple(folders)))


@pytest.mark.parametrize(("name", "words"), TABLES, ids=[name for name, _ in TABLES])
def test_a_kept_table_is_what_its_records_make(
    name: str, words: str, tmp_path: Path, once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for ending in ("md", "tex", "html") if no_csv(words) else ("md", "csv", "tex", "html"):
        made, kept = tmp_path / f"table.{ending}", ROOT / "results" / f"{name}.{ending}"
        table.main([*shlex.split(words), f"file={made}"])
        assert elsewhere(made) == elsewhere(kept), "make tables"


FORMER = {"selection", "speed"}  # of former versions, or of benchmarks, which name the versions themselves
CURRENT = sorted(each.name for each in (ROOT / "results").iterdir() if each.is_dir() and each.name not in FORMER)


@pytest.mark.parametrize("name", CURRENT)
def test_what_is_shown_was_made_with_todays_versions(name: str) -> None:
    """README says so. results/selection keeps what was tried with former versions of nba."""
    versions, files = declared().versions, list((ROOT / "results" / name).glob("*/*/metrics.json"))
    assert files
    for file in files:
        settings = json.loads(file.read_text())["settings"]
        for part in settings.keys() & versions.keys():
            version = version_of(part, settings[part])
            assert version == versions[part][settings[part]["kind"]], f"{file}: its {part} is of version {version}"


def no_csv(words: str) -> bool:
    """Whether `nba table` refuses to write it as CSV, which has a row for each line and our figures alone."""
    return "layout=matrix" in words or "compare=" in words


def elsewhere(file: Path) -> str:
    """What the file says, but for its place in the command that made it."""
    return re.sub(r"file=[^\s<]+( overwrite=true)?", "file=…", file.read_text(encoding="utf-8"))
