"""The formats of a table for people: Markdown and the page."""

from __future__ import annotations

import html.parser
import itertools
import math
import re
from pathlib import Path

import pytest
from records import HOSTILE, put

from nba_cli.files import choices
from nba_cli.reports import table
from nba_cli.reports.composition import compose as compose_table
from nba_cli.reports.formats import FORMATS
from nba_cli.reports.formats.grid import Block, Grid, Row, legend
from nba_cli.reports.formats.html import columns
from nba_cli.reports.formats.layout import number
from nba_cli.reports.formats.marks import COLOURS, SHAPES, mark
from nba_cli.reports.formats.scatter import (
    LEFT,
    NEAR,
    RIGHT,
    SIZE,
    TOP,
    WIDE,
    WIDTH,
    Axis,
    Point,
    linear,
    rooted,
    scatter,
    ticks,
)
from nba_cli.reports.formats.spread import apart
from nba_cli.reports.request import Request


def test_every_form_says_the_same(root: Path) -> None:
    made, layout = compose_table(Request(output=str(root), against="ft"), {})
    for form in FORMATS.values():
        text = form(made, layout)
        assert "badnets" in text and ("missing" in text or form in (FORMATS["csv"], FORMATS["json"]))
    assert "| blend | nba | 3 | 87.50 ± 0.50 | 2.00 ± 0.00 * |" in FORMATS["markdown"](made, layout)
    assert r"nba & 3 & 87.50 $\pm$ 0.50 & \textbf{2.00 $\pm$ 0.00}" in FORMATS["latex"](made, layout)


def test_averages_say_in_a_column_of_their_own_what_they_are_taken_over(root: Path) -> None:
    put(root, "clean", "none", "ft", 0, (0.9, None, None))
    made, layout = compose_table(Request(output=str(root), figures="acc,asr,ra"), {})
    lines = FORMATS["markdown"](made, layout).splitlines()
    assert "| attack | defense | n | ACC | ASR | RA | average of |" in lines
    assert "| average | ft | 3 | 86.00 ± 0.50 | 60.50 ± 0.50 | 25.00 ± 0.00 | 2 |" in lines, "clean models have no ASR"
    assert any("Averages are taken within a seed first" in line for line in lines)
    assert "| badnets | ft | 3 | 85.00 ± 0.00 | 90.00 ± 0.00 | 10.00 ± 0.00 |  |" in lines
    assert "<tr class=average><td>average</td><td>ft</td>" in FORMATS["html"](made, layout)
    alone = compose_table(Request(output=str(root)), {"attack": ["blend"]})
    assert "average of" not in FORMATS["markdown"](*alone), "nothing is averaged over attacks"


class Page(html.parser.HTMLParser):
    """What a browser would load, and whether the tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.loaded += [value for name, value in attrs if name in ("src", "href") and not value.startswith("data:")]


def test_the_page_is_self_contained_escaped_and_has_pictures_and_plots(root: Path) -> None:
    (root / "defend" / "b0" / "trigger.png").write_bytes(b"\x89PNG")
    made, layout = compose_table(Request(output=str(root), title="<b>bold</b> & co"), {})
    page = Page()
    text = FORMATS["html"](made, layout)
    page.feed(text)
    assert not page.loaded and "@import" not in text and "url(" not in text
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; co" in text and "<b>bold" not in text
    assert page.count["img"] == 1 and "data:image/png;base64,iVBORw==" in text
    assert text.count("<title>nba: ACC 87.50, ASR 2.00</title>") == 1
    assert page.count["svg"] >= 4, "a panel a section, for ASR and RA"


def test_ticks_are_round_and_cover() -> None:
    assert ticks(81.2, 88.9) == [80, 82, 84, 86, 88, 90]
    assert ticks(0.0, 100.0) == [0, 20, 40, 60, 80, 100]


def test_an_axis_places_its_ends_and_what_is_between_them() -> None:
    assert [Axis("ACC", [80, 90]).share(value) for value in (80, 82.5, 90)] == [0, 0.25, 1]
    assert [Axis("ASR", [0, 100], root=True).share(value) for value in (0, 1, 25, 100)] == [0, 0.1, 0.5, 1]
    assert linear("ACC", [80.0, 80.0]).ticks == [80, 80.2, 80.4, 80.6, 80.8, 81], "one value has an axis, too"
    assert rooted("ASR", [0.0]).ticks == [0, 1] and rooted("ASR", [1.0, 18.0]).ticks == [0, 1, 5, 10, 20]
    assert rooted("ASR", [100.0]).ticks[-1] == 100


def test_a_file_is_written_in_the_form_that_its_ending_says(root: Path, tmp_path: Path) -> None:
    for ending, start in (
        ("md", "# "),
        ("csv", "source,dataset,"),
        ("json", "[{"),
        ("tex", "%"),
        ("html", "<!doctype html>"),
    ):
        table.main([f"output={root}", f"file={tmp_path}/new/table.{ending}"])
        assert (tmp_path / "new" / f"table.{ending}").read_text().startswith(start)


def test_counts_are_no_shares() -> None:
    assert number("figures.triggered", 9000) == number("reference.triggered", 9000) == "9,000"
    assert number("before.asr", 0.5) == number("asr", 0.5) == "50.00"


def test_a_share_half_way_between_two_is_rounded_as_one_reads_it() -> None:
    assert number("acc", 0.78165) == "78.17", "not 78.16, as 100 times the nearest float would be"


def test_the_star_is_explained_where_there_is_one() -> None:
    with_star, without = (Grid(None, ["defense", "ACC"], [Block("", [Row(["ft *", word])])]) for word in ("1 *", "1"))
    assert "95 % interval that excludes 0" in legend(with_star)
    assert "*" not in legend(without) and "ACC, ASR, RA, DER in percent" in legend(without)


def test_marks_of_a_page_differ() -> None:
    every = [mark(kind, 0, 0) for kind in range(len(COLOURS) * len(SHAPES))]
    assert len(set(every)) == len(every)
    rows = [name for name in choices("defense") if not name.startswith("demo/")]
    assert len(set(COLOURS)) == len(COLOURS) >= len(rows), "each defense and each preset has a colour of its own"


def test_marks_that_would_cover_one_another_are_set_apart() -> None:
    places = [(50.0, 50.0)] * 20 + [(52.0, 51.0), (90.0, 90.0)]
    drawn = apart(places, 10, (0, 0), (100, 100))
    assert drawn[0] == (50, 50) and drawn[-1] == (90, 90), "where there is room a mark has its own place"
    assert all(math.dist(one, two) >= 10 for one, two in itertools.combinations(drawn, 2))
    assert all(0 <= value <= 100 and math.dist(place, (50, 50)) < 50 for place in drawn[:-1] for value in place)
    crowd = apart([(5.0, 5.0)] * 9, 10, (0, 0), (10, 10))
    assert crowd.count((5, 5)) > 5, "where there is none it covers others in its own place"


def test_a_mark_beside_its_place_is_led_to_it() -> None:
    points = [Point(0, 1, 0, "one"), Point(0, 1, 1, "two"), Point(1, 0, 2, "alone")]
    panel = scatter("panel", points, Axis("x", [0, 1]), Axis("y", [0, 1]))
    (led,) = re.findall(r'<g data-kind="1"><line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"', panel)
    x, y, far_x, far_y = map(float, led)
    assert (x, y) == (LEFT, TOP) and math.dist((x, y), (far_x, far_y)) == pytest.approx(NEAR * SIZE, abs=0.1)
    assert far_x >= LEFT and far_y >= TOP, "and stays between the axes"
    assert panel.count('<g data-kind="0">') == panel.count('<g data-kind="2">') == 1, "these have their own places"


def test_marks_of_a_crowd_are_smaller() -> None:
    def radius(count: int) -> float:
        points = [Point(number, 0, 0, "circle") for number in range(count)]
        panel = scatter("", points, Axis("x", [0, 99]), Axis("y", [0, 1]))
        return float(re.findall(r'r="([\d.]+)" fill="#0072B2" stroke', panel)[0])

    assert radius(1) == radius(8) > radius(16) > radius(32) > 2
    assert radius(40) == radius(400), "and can be told from the dot of a leader"


def test_marks_of_a_crowd_are_nearer() -> None:
    panel = scatter("", [Point(0.5, 0.5, number, "") for number in range(16)], Axis("x", [0, 1]), Axis("y", [0, 1]))
    led = re.findall(r'<line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)" stroke=', panel)
    ways = [math.dist((float(x), float(y)), (float(u), float(v))) for x, y, u, v in led]
    assert len(ways) == 15 and min(ways) == pytest.approx(NEAR * SIZE / math.sqrt(2), abs=0.1)


@pytest.mark.parametrize(("panels", "wide"), [(1, 1), (3, 3), (4, 4), (5, 3), (6, 3), (7, 4), (9, 3)])
def test_panels_fill_their_rows(panels: int, wide: int) -> None:
    assert columns(panels) == wide


def test_a_single_panel_stands_beside_the_other_figures(root: Path) -> None:
    one, two = (
        FORMATS["html"](*compose_table(Request(output=str(root)), {"attack": attacks}))
        for attacks in (["blend"], ["blend", "badnets"])
    )
    assert one.count("<div class=pair>") == 1 and "<div class=pair>" not in two
    assert one.count(f'viewBox="0 0 {WIDE} ') == 2 and two.count(f'viewBox="0 0 {WIDE} ') == 4
    assert ".pair {" in one and re.findall(rf'x2="{WIDE - RIGHT}" y1', one), "the plot is as wide as its panel"
    put(root, "third", "sig", "ft", 0, (0.86, 0.3, 0.4))
    three = FORMATS["html"](*compose_table(Request(output=str(root)), {}))
    assert three.count(f'viewBox="0 0 {WIDTH} ') == 6 and WIDE > WIDTH, "letters do not grow with a panel's room"


def test_the_legend_is_in_view_where_a_chart_is(root: Path) -> None:
    text = FORMATS["html"](*compose_table(Request(output=str(root)), {}))
    box = text[text.index("<h2>ACC and ASR") : text.index("<div class=legend>")]
    assert text[: text.index("<h2>ACC and ASR")].rstrip().endswith("<div>\n<section>") and "<h2>ACC and RA" in box
    behind = text[text.index("<div class=legend>") :]
    assert behind.index("</div>\n</div>") < behind.index("<table")


def test_a_table_scrolls_in_its_own_box_so_that_its_header_stays(root: Path) -> None:
    text = FORMATS["html"](*compose_table(Request(output=str(root)), {}))
    assert "<div class=table><table" in text and ".table { overflow: auto; max-height: " in text
    assert "th { position: sticky; top: 0;" in text


def test_markdown_shows_what_records_say_and_does_nothing_with_it(hostile: tuple) -> None:
    text = FORMATS["markdown"](*hostile)
    shown = "=cmd\\|'/c calc'!A1 \\[x\\](javascript:y) &lt;script&gt; \\`code\\` \\*b\\* \\_i\\_ \\\\end{tabular}"
    (row,) = [line for line in text.splitlines() if line.startswith("| =cmd")]
    assert row.startswith(f"| {shown} | {shown} | 1 | 90.00")
    assert text.startswith(f"# {shown} # injected\n") and "<script>" not in text.replace(f"    {HOSTILE}", "")
    assert f"Commit: {shown}" in text and "\n# injected" not in text
