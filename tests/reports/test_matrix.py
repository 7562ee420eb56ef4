"""layout=matrix: attacks x defenses, as papers print them."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import put

from nba_cli.errors import Refused
from nba_cli.reports import table
from nba_cli.reports.composition import compose
from nba_cli.reports.formats import FORMATS
from nba_cli.reports.formats.grid import WITHIN_SEEDS, Grid, grid, legend, parts_of, values
from nba_cli.reports.request import Request


def matrix(root: Path, **asked: str) -> Grid:
    return grid(*compose(Request(output=str(root), layout="matrix", **asked), {}))


def cells(found: Grid) -> dict[str, list[str]]:
    (block,) = found.blocks
    return {row.words[0]: row.words[1:] for row in block.rows}


def test_attacks_go_down_and_defenses_across(root: Path) -> None:
    found = matrix(root)
    assert found.headings == ["attack", "none", "ft", "nba"]
    assert list(cells(found)) == ["badnets", "blend", "average"]
    assert cells(found)["badnets"] == ["missing", "85.00 ± 0.00 / 90.00 ± 0.00 / 10.00 ± 0.00", "missing"]
    assert cells(found)["blend"][2] == "87.50 ± 0.50 / 2.00 ± 0.00 * / 80.00 ± 0.00 *", "better than ft beyond doubt"
    assert cells(found)["average"] == ["—", "86.00 ± 0.50 / 60.50 ± 0.50 / 25.00 ± 0.00", "—"]
    shown = "Each cell: ACC / ASR / RA. n = 3, unless a cell says another."
    assert found.notes == [shown, f"The average is taken over 2 attacks. {WITHIN_SEEDS}"]


def test_figures_without_their_spread(root: Path) -> None:
    found = matrix(root, spread="false")
    assert cells(found)["blend"][2] == "87.50 / 2.00 * / 80.00 *"
    assert "percent; mean over n victims" in legend(found) and "mean ± standard deviation" in legend(matrix(root))
    listed = grid(*compose(Request(output=str(root), spread="false"), {}))
    assert not any("±" in word for block in listed.blocks for row in block.rows for word in row.words)
    with pytest.raises(Refused, match="spread=some: true or false"):
        matrix(root, spread="some")


def test_rows_and_cols_turn_it_with_the_same_figures(root: Path) -> None:
    found, turned = matrix(root), matrix(root, rows="defense", cols="attack")
    assert turned.headings == ["defense", "badnets", "blend", "average"]
    down = [row for row in cells(found).values()]
    assert [row for row in cells(turned).values()] == [list(column) for column in zip(*down, strict=True)]


def test_one_figure_a_cell(root: Path) -> None:
    assert cells(matrix(root, figures="asr"))["blend"] == ["100.00 ± 0.00", "31.00 ± 1.00", "2.00 ± 0.00 *"]


def test_a_cell_says_if_it_has_fewer_victims(root: Path) -> None:
    put(root, "one", "sig", "ft", 0, (0.5, 0.5, 0.5))
    assert cells(matrix(root, figures="acc"))["sig"][1] == "50.00 / n=1"


def test_every_format_draws_it(root: Path) -> None:
    made = compose(Request(output=str(root), layout="matrix", figures="acc,asr"), {})
    assert "| blend | 90.00 ± 0.00 / 100.00 ± 0.00 |" in FORMATS["markdown"](*made)
    assert "| attack | none | ft | nba |\n| --- | ---: | ---: | ---: |" in FORMATS["markdown"](*made)
    assert r"/ \textbf{2.00 $\pm$ 0.00} \\" in FORMATS["latex"](*made)
    page = FORMATS["html"](*made)
    assert "<td>blend</td><td>90.00 ± 0.00 / 100.00 ± 0.00</td>" in page
    assert "<td>87.50 ± 0.50 / <b>2.00 ± 0.00 *</b></td>" in page and "<tr class=average>" in page


def test_an_average_says_what_it_is_taken_over(root: Path) -> None:
    assert values(["attack"]) == "attacks" and values(["dataset"]) == "datasets"
    assert values(["attack.rate"]) == "values of attack.rate"
    assert values(["dataset", "attack"]) == "combinations of dataset and attack"
    for seed in range(2):
        put(root, f"half{seed}", "sig", "ft", seed, (0.9, None, None))
    note = f"The average is taken over 2 attacks. {WITHIN_SEEDS}"
    assert note in matrix(root).notes and note in matrix(root, rows="defense", cols="attack").notes


def test_a_cell_comes_apart_into_its_figures() -> None:
    assert parts_of("87.50 / 2.00 * / n=1") == [("87.50", False), ("2.00 *", True), ("n=1", False)]
    assert parts_of("") == [("", False)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["layout=matrix", "format=csv"], "layout=matrix: csv is for programs"),
        (["layout=matrix", "format=json"], "layout=matrix: json is for programs"),
        (["layout=matrix", "against=ft"], "against=…: a matrix has no room"),
        (["layout=matrix", "compare=published"], "compare=…: a matrix has no room"),
        (["layout=matix"], "layout=matix: there is no such layout. Did you mean 'matrix'"),
    ],
)
def test_what_it_has_no_place_for_is_refused(root: Path, words: list[str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        table.main([f"output={root}", *words])
