"""Published numbers beside ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nba_cli.errors import Refused
from nba_cli.reports import published
from nba_cli.reports.composition import compose as compose_table
from nba_cli.reports.formats import FORMATS
from nba_cli.reports.published import COLUMNS
from nba_cli.reports.request import Request


def test_published_numbers_stand_beside_ours(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "published.csv"
    file.write_text(
        "source,dataset,victim,attack,defense,poison_rate,acc,asr,ra\n"
        "Board,cifar10,resnet18,blended,ft,0.01,90,50,\n"
        "Board,cifar10,resnet18,blended,ft,0.1,91.5,60,20\n"
        "Board,gtsrb,resnet18,blended,ft,0.1,1,1,1\n"
        "Paper,cifar10,vgg16,blended,ft,,80,70,\n"
    )
    made, layout = compose_table(Request(output=str(root), compare=str(file)), {})
    text = FORMATS["markdown"](made, layout)
    assert "| blend | (ft) Board: resnet18, 10 % | — | 91.50 | 60.00 | 20.00 | — | — |" in text
    assert "| blend | (ft) Paper: vgg16 | — | 80.00 | 70.00 | — | — | — |" in text
    assert "gtsrb" not in text and "50.00 | —" not in text


def test_published_numbers_come_with_nba(root: Path) -> None:
    rows = published.read("published")
    assert len(rows) == 512 and all(row.source for row in rows)
    made, layout = compose_table(Request(output=str(root), compare="published"), {})
    assert "(ft) BackdoorBench leaderboard: preactresnet18, 10 %" in FORMATS["markdown"](made, layout)


def test_published_numbers_are_hollow_marks_in_the_charts(root: Path) -> None:
    """Of each figure, beside the marks of the line that they belong to; the sources stand below."""
    made, layout = compose_table(Request(output=str(root), compare="published", stage="defend"), {"attack": ["blend"]})
    page = FORMATS["html"](made, layout)
    row = "ft, BackdoorBench leaderboard: preactresnet18, 10 %"
    assert f"<title>{row}: ACC 92.78, ASR 96.11</title>" in page and f"<title>{row}: ACC 92.78, RA 3.57" in page
    kinds = {kind for label in ("ft: ACC", row) for kind in re.findall(rf'<g data-kind="(\d+)"><title>{label}', page)}
    assert len(kinds) == 1 and 'fill-opacity="0"' in page
    assert "Hollow marks are published figures: BackdoorBench leaderboard: preactresnet18, 10 %" in page
    alone = FORMATS["html"](*compose_table(Request(output=str(root), stage="defend"), {"attack": ["blend"]}))
    assert "Hollow" not in alone and 'fill-opacity="0"' not in alone


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("source,dataset\nx,y\n", "lacks the columns victim"),
        ("", "lacks the columns"),
        (None, "cannot be read"),
        (",".join(COLUMNS) + "\na,b,c,d,e,10,1,1,1\n", "line 2: poison_rate=10 is a share"),
        (",".join(COLUMNS) + "\na,b,c,d,e,0.1,nan,1,1\n", "line 2: acc=nan is in percent, from 0 to 100"),
        (",".join(COLUMNS) + "\na,b,c,d,e,0.1,1,1e12,1\n", "line 2: asr=1e12 is in percent"),
        (",".join(COLUMNS) + f"\na,b,c,d,{'e' * 200_000},0.1,1,1,1\n", "cannot be read .field larger"),
    ],
)
def test_a_bad_file_of_published_numbers_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "published.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Refused, match=said):
        published.read_csv(file)


def test_a_file_of_a_spreadsheet_begins_with_a_mark(tmp_path: Path) -> None:
    file = tmp_path / "published.csv"
    file.write_text(",".join(COLUMNS) + "\na,b,c,d,e,0.1,1,1,1\n", encoding="utf-8-sig")
    assert [row.source for row in published.read_csv(file)] == ["a"]
