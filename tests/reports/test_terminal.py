"""A table in the terminal: no figure is cut, however narrow it is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from records import put
from rich.console import Console

from nba_cli.defenses import NBA
from nba_cli.reports import table
from nba_cli.reports.composition import compose
from nba_cli.reports.formats import terminal
from nba_cli.reports.formats.columns import stacked
from nba_cli.reports.formats.grid import grid
from nba_cli.reports.request import Request

OWN = Path(__file__).parents[2] / "results"


def drawn(output: Path, width: int, **asked: str) -> tuple[str, list[str]]:
    """What the terminal shows, and all figures that it has to show."""
    report, layout = compose(Request(output=str(output), **asked), {})
    found = grid(report, layout)
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal.table(found, layout.title, width))
    return console.export_text(), [
        word for block in found.blocks for row in block.rows for word in row.words[1:] if word
    ]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "asked",
    [
        {"stage": "attack"},
        {"against": "nba"},
        {"compare": "published"},
        {"layout": "matrix"},
        {"layout": "matrix", "rows": "defense", "cols": "attack"},
        {"rows": "attack", "cols": "defense"},
    ],
    ids=lambda asked: " ".join(asked),
)
def test_all_figures_are_shown_whole(width: int, asked: dict[str, str]) -> None:
    text, figures = drawn(OWN / "seed_0", width, **asked)
    assert "…" not in text and figures
    for figure in set(figures):
        assert text.count(figure) >= figures.count(figure), figure
    assert max(map(len, text.splitlines())) <= width


def test_what_does_not_fit_follows_below_with_its_labels(root: Path) -> None:
    text, _ = drawn(root, 80, against="ft", figures="acc,asr,ra")
    assert text.count("\n   nba ") == 6, "two attacks and the average, twice"
    wide, _ = drawn(root, 200, against="ft", figures="acc,asr,ra")
    assert wide.count("\n   nba ") == 3


def test_long_labels_wrap_between_words(tmp_path: Path) -> None:
    for eps in (0.04, 0.12):
        changed = {"defense__version": NBA.version, "defense__eps": eps, "defense__pseudo": f"bank{eps}"}
        put(tmp_path, f"r{eps}", "blend", "nba", 0, (0.9, 0.1, 0.5), **changed)
    text, _ = drawn(tmp_path, 60)
    assert "\n   nba defense.pseudo=bank0.04  " in text
    assert "\n   defense.eps=0.04  " in text, "further lines are indented as the first"


def test_labels_give_way_before_figures(root: Path) -> None:
    text, figures = drawn(root, 26)
    assert all(text.count(figure) >= figures.count(figure) for figure in figures)


def test_remarks_wrap_between_words_and_commands_stay_whole(root: Path, terminal: Console) -> None:
    table.main([f"output={root}"])
    lines = terminal.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert "ACC, ASR, RA, DER in percent; mean ± standard deviation over n victims, each the" in map(str.strip, lines)


def test_columns_are_stacked_evenly() -> None:
    assert stacked([10, 10, 10], 30) == [range(3)]
    assert stacked([10, 10, 10, 10], 30) == [range(2), range(2, 4)], "not three and a lonely one"
    assert stacked([50, 10], 30) == [range(1), range(1, 2)], "too wide for any room, and yet shown"
