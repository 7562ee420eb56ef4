"""Nothing in a table grows faster than its lines: counted, not timed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from records import put

from nba_cli.reports import differences, significance
from nba_cli.reports.formats.html import charts
from nba_cli.reports.pivot import Shape, build
from nba_cli.reports.report import Report
from nba_cli.runs import reading


class Word(str):
    """A label that counts how often it is compared letter by letter."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Word.compared += 1
        return str.__eq__(self, other)


def table(root: Path, lines: int) -> Report:
    """One attack; a line for each run, since each has a setting of its own."""
    for number in range(lines):
        put(root, f"n{number}", "blend", "nba", 0, (0.5, 0.01 * number, 0.5), defense__beta=float(number))
    return build(reading.read_all(root), Shape(rows=["defense"], cols=["attack"], figures=["acc", "asr", "ra"]))


def counted(report: Report) -> int:
    """How often drawing the page, and finding what each line is compared with, compares labels and keys."""
    (section,) = report.sections
    lines = [replace(line, label=Word(line.label), key=tuple(map(Word, line.key))) for line in section.lines]
    section = replace(section, lines=lines)
    Word.compared = 0
    reference_of = differences.reference_rows(section.lines, 1, "nba")
    assert all(reference_of(line) is line for line in section.lines), "each has its own like"
    charts(replace(report, sections=[section]), {})
    return Word.compared


def test_a_page_of_twice_as_many_lines_is_twice_the_work(tmp_path: Path) -> None:
    few, many = (counted(table(tmp_path / str(lines), lines)) for lines in (20, 40))
    assert 0 < many <= 2.2 * few


def test_the_t_of_a_degree_of_freedom_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    within = significance.within
    monkeypatch.setattr(significance, "within", lambda t, freedom: asked.append(freedom) or within(t, freedom))
    significance.student.cache_clear()
    ours, theirs = {0: 1.0, 1: 2.0, 2: 4.0}, {0: 0.5, 1: 1.0, 2: 2.0}
    first = significance.paired(ours, theirs)
    once = len(asked)
    assert significance.paired(theirs, ours) is not None and len(asked) == once > 0 and first is not None
