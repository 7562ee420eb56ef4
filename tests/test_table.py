"""`nba table`: what it groups, compares, marks, misses and says, in every form."""

from __future__ import annotations

import csv as reader
import html.parser
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from nba_cli import app, experiments, pivot, published, results, runs, table
from nba_cli.cli import conf_dir
from nba_cli.errors import Refused
from nba_cli.render import FORMS
from nba_cli.render.layout import Layout, number
from nba_cli.render.scatter import ticks
from nba_cli.report import Line, Report

Run = Callable[..., tuple[int, str]]
SETTINGS = {
    "seed": 0,
    "defense_seed": 0,
    "output": "runs",
    "weights": None,
    "attack": {"kind": "blend", "rate": 0.1},
    "victim": {"kind": "wrn", "depth": 16},
    "dataset": {"kind": "cifar10", "clean_ratio": 0.05, "clean_seed": 0},
    "defense": {"kind": "ft"},
}
MADE = {"date": "2026-01-02T03:04", "commit": "abc", "processor": "CPU X", "threads": 2, "torch": "2"}


def put(root: Path, name: str, attack: str, defense: str, seed: int, shares: tuple, **more: object) -> Path:
    """A finished run that exists as a record only."""
    settings = json.loads(json.dumps(SETTINGS)) | {"seed": seed}
    settings["attack"]["kind"], settings["defense"]["kind"] = attack, defense
    for path, value in more.items():
        part, _, leaf = path.partition("__")
        if leaf:
            settings[part][leaf] = value
        elif path != "commit":
            settings[part] = value
    found = {
        "stage": "defend",
        "settings": settings,
        "victim_label": "wrn_16_1",
        "precision": "bf16",
        "figures": dict(zip(("acc", "asr", "ra"), shares, strict=True)),
        "der": 0.5,
        "seconds": {"train": 100.0, "defense": 7.0},
        "made": MADE | {"commit": more.get("commit", "abc")},
    }
    folder = root / "defend" / name
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(found))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three seeds: nba is better than ft in ASR beyond doubt, in ACC by luck; badnets lacks nba."""
    for seed in range(3):
        put(tmp_path, f"n{seed}", "blend", "none", seed, (0.90, 1.0, 0.0))
        put(tmp_path, f"f{seed}", "blend", "ft", seed, (0.86 + 0.01 * seed, 0.30 + 0.01 * seed, 0.4))
        put(tmp_path, f"b{seed}", "blend", "nba", seed, (0.88 - 0.005 * seed, 0.02, 0.8))
        put(tmp_path, f"g{seed}", "badnets", "ft", seed, (0.85, 0.9, 0.1))
    return tmp_path


def report(root: Path, **changes: str) -> Report:
    return table.compose(table.Request(output=str(root), **changes), {})[0]


def line(report: Report, section: str, label: str) -> Line:
    return next(each for s in report.sections if s.label == section for each in s.lines if each.label == label)


def test_groups_by_attack_and_defense_with_mean_and_deviation_over_seeds(root: Path) -> None:
    made = report(root)
    assert [section.label for section in made.sections] == ["badnets", "blend"], "in the order of the registry"
    assert [each.label for each in made.sections[1].lines] == ["none", "ft", "nba"]
    found = line(made, "blend", "ft")
    assert found.n == 3 and found.cells["acc"].summary.mean == pytest.approx(0.87)
    assert found.cells["acc"].summary.std == pytest.approx(0.01)
    assert found.cells["seconds"].summary.mean == 7.0


def test_only_what_is_better_beyond_doubt_is_marked(root: Path) -> None:
    made = report(root)
    best = {(each.label, figure) for each in made.sections[1].lines for figure in each.cells if each.cells[figure].best}
    assert best == {("nba", "asr"), ("nba", "ra")}, "ACC is a tie, and no defense is no candidate"
    assert not any(cell.best for each in made.sections[0].lines for cell in each.cells.values()), "alone is not better"


def test_differences_are_paired_by_seed(root: Path) -> None:
    gap = line(report(root, against="ft"), "blend", "nba").cells["asr"].difference
    assert gap is not None and gap.n == 3 and gap.mean == pytest.approx(-0.29)
    assert gap.low is not None and gap.low == pytest.approx(-0.29 - 4.30265 * 0.01 / 3**0.5, abs=1e-6)


def test_average_takes_rows_that_all_sections_have(root: Path) -> None:
    averages = report(root).averages
    assert averages is not None
    found = {each.label: each.cells["acc"].summary.mean for each in averages.lines if each.cells}
    assert found == {"ft": pytest.approx((0.87 + 0.85) / 2)}


def test_missing_cells_come_with_the_command_that_fills_them(nba: Run, tmp_path: Path) -> None:
    quick = ("victim.depth=10", "train.epochs=2", "train.batch=40", "dataset.clean_ratio=0.3", "attack.rate=0.2")
    short = ("defense.train.steps=2",)
    assert nba("defend", *quick, "attack=blend,badnets", "defense=none", "-m")[0] == 0
    assert nba("defend", *quick, "attack=blend", "defense=ft", *short)[0] == 0
    code, text = nba("table", dataset=False)
    lines = text.splitlines()
    (command,) = lines[lines.index("Missing; to fill it:") + 1 :]
    assert code == 0 and "missing" in text
    words = command.split()
    assert words[:2] == ["nba", "defend"] and {"attack=badnets", "defense=ft", "defense.train.steps=2"} <= set(words)
    assert nba(words[1], *words[2:], "reference=false", dataset=False)[0] == 0
    code, text = nba("table", dataset=False)
    assert "missing" not in text and len(list((tmp_path / "runs" / "defend").iterdir())) == 4


def test_runs_of_one_cell_that_differ_get_lines_of_their_own(root: Path) -> None:
    put(root, "other", "blend", "nba", 0, (0.5, 0.5, 0.5), defense__beta=3.0)
    put(root, "usual", "blend", "nba", 1, (0.6, 0.5, 0.5), defense__beta=1.0)
    labels = [each.label for each in report(root).sections[1].lines]
    assert labels[2:] == [f"nba defense.beta={beta}" for beta in ("1.0", "2.0", "3.0")], "2.0 is the default"


def test_with_a_line_a_seed_nothing_is_missing(root: Path) -> None:
    for rows, cols in (("seed", "defense"), ("defense", "seed")):
        _, layout = table.compose(table.Request(output=str(root), rows=rows, cols=cols), {"attack": ["blend"]})
        assert layout.missing == []


def test_what_differs_between_cells_is_said(root: Path) -> None:
    assert not report(root).notes
    put(root, "other", "sig", "ft", 0, (0.5, 0.5, 0.5), dataset__clean_ratio=0.2, commit="def")
    put(root, "rate", "badnets", "anp", 0, (0.5, 0.5, 0.5), attack__rate=0.2)
    notes = report(root).notes
    assert "dataset.clean_ratio differs among these runs: 0.05, 0.2" in notes
    assert "attack.rate differs among these runs: 0.1, 0.2" in notes, "within the section of badnets"
    assert "commits differ: abc, def" in notes and len(notes) == 3


def test_runs_with_the_same_seeds_are_never_averaged_nor_lost(root: Path) -> None:
    one, two = put(root, "p1", "sig", "ft", 0, (0.5, 0.5, 0.5)), put(root, "p2", "sig", "ft", 0, (0.7, 0.5, 0.5))
    for folder, precision in ((one, "bf16"), (two, "fp32")):
        file = folder / "metrics.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"precision": precision}))
    found = next(section for section in report(root).sections if section.label == "sig")
    assert {each.label: each.cells["acc"].summary.mean for each in found.lines if each.cells} == {
        "ft precision=bf16": 0.5,
        "ft precision=fp32": 0.7,
    }
    two.rename(root / "defend" / "twin")
    file = root / "defend" / "twin" / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"precision": "bf16"}))
    found = next(section for section in report(root).sections if section.label == "sig")
    assert {each.label for each in found.lines if each.cells} == {"ft p1", "ft twin"}, "nothing but the folder differs"


def test_an_older_record_had_what_is_now_the_default(root: Path) -> None:
    put(root, "tuned", "blend", "ft", 7, (0.1, 0.1, 0.1), tune=True)
    labels = [each.label for each in report(root).sections[1].lines]
    assert "ft tune=false" in labels and "ft tune=true" in labels


def test_with_two_row_settings_a_row_is_compared_under_the_same_rest(root: Path) -> None:
    for rate, asr in ((0.1, 0.5), (0.2, 0.9)):
        for defense, gain in (("ft", 0.0), ("anp", 0.1)):
            put(root, f"{rate}{defense}", "wanet", defense, 0, (0.5, asr - gain, 0.5), attack__rate=rate)
    request = table.Request(output=str(root), rows="defense,attack.rate", against="ft")
    made, _ = table.compose(request, {"attack": ["wanet"]})
    gaps = {each.label: each.cells["asr"].difference for each in made.sections[0].lines}
    assert all(gaps[f"anp {rate}"].mean == pytest.approx(-0.1) for rate in (0.1, 0.2))  # type: ignore[union-attr]
    assert gaps["ft 0.1"] is None and gaps["ft 0.2"] is None


def test_no_defense_is_left_out_of_the_comparison_and_an_option_called_none_is_not(root: Path) -> None:
    for pseudo, asr in (("none", 0.5), ("mixed", 0.1)):
        for seed in range(3):
            put(root, f"{pseudo}{seed}", "wanet", "nba", seed, (0.5, asr, 0.5), defense__pseudo=pseudo)
    made, _ = table.compose(table.Request(output=str(root), rows="defense.pseudo"), {"attack": ["wanet"]})
    assert {each.label: each.cells["asr"].best for each in made.sections[0].lines} == {"none": False, "mixed": True}


def test_only_defenses_compete(root: Path) -> None:
    made, _ = table.compose(table.Request(output=str(root), rows="attack", cols="defense"), {})
    assert {section.label for section in made.sections} >= {"ft"}
    assert not any(cell.best for s in made.sections for each in s.lines for cell in each.cells.values())


def test_filters_cut_an_experiment_down(tmp_path: Path) -> None:
    request = table.Request(output=str(tmp_path), experiment="six_attacks")
    made, layout = table.compose(request, {"defense": ["ft", "nba"], "attack": ["sig"], "seed": ["0"]})
    assert [each.label for section in made.sections for each in section.lines] == ["ft", "nba"]
    assert layout.missing == [
        f"nba defend --multirun attack=sig defense=ft,nba seed=0 +experiment=six_attacks output={tmp_path}"
    ]


def test_rows_and_columns_are_any_settings(root: Path) -> None:
    for rate in (0.1, 0.02):
        put(root, f"r{rate}", "blend", "anp", 0, (rate, 0.5, 0.5), attack__rate=rate)
    found, _ = table.compose(table.Request(output=str(root), rows="attack.rate", cols="defense"), {"defense": ["anp"]})
    assert [section.label for section in found.sections] == ["anp"]
    assert [each.label for each in found.sections[0].lines] == ["0.02", "0.1"], "numbers by size"
    for asked in ("1e-1", "0.10"):
        found, _ = table.compose(table.Request(output=str(root)), {"attack.rate": [asked], "defense": ["anp"]})
        assert [each.n for section in found.sections for each in section.lines] == [1], "a number, however written"


def test_every_form_says_the_same(root: Path) -> None:
    made, layout = table.compose(table.Request(output=str(root), against="ft"), {})
    for form in FORMS.values():
        text = form(made, layout)
        assert "badnets" in text and ("missing" in text or "MISSING" in text or form is FORMS["csv"])
    assert "| blend | nba | 3 | 87.50 ± 0.50 | 2.00 ± 0.00 * |" in FORMS["markdown"](made, layout)
    assert r"nba & 3 & 87.50 $\pm$ 0.50 & \textbf{2.00 $\pm$ 0.00}" in FORMS["latex"](made, layout)
    rows = list(reader.DictReader(io.StringIO(FORMS["csv"](made, layout))))
    (own,) = [row for row in rows if (row["col attack"], row["row defense"], row["figure"]) == ("blend", "nba", "asr")]
    assert float(own["mean"]) == pytest.approx(0.02) and own["best"] == "True" and own["runs"] == "b0 b1 b2"


def test_latex_balances_and_escapes() -> None:
    from nba_cli.render.plain import escape

    assert escape("50 % of a_b & #1 *") == r"\textbf{50 \% of a\_b \& \#1}"
    assert escape("[learning]").startswith("{["), "not the length behind a row"


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
    made, layout = table.compose(table.Request(output=str(root), title="<b>bold</b> & co"), {})
    page = Page()
    text = FORMS["html"](made, layout)
    page.feed(text)
    assert not page.loaded and "@import" not in text and "url(" not in text
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; co" in text and "<b>bold" not in text
    assert page.count["img"] == 1 and "data:image/png;base64,iVBORw==" in text
    assert text.count("<title>nba: ACC 87.50, ASR 2.00</title>") == 1
    assert page.count["svg"] >= 4, "a panel a section, for ASR and RA"


def test_ticks_are_round_and_cover() -> None:
    assert ticks(81.2, 88.9) == [80, 82, 84, 86, 88, 90]
    assert ticks(0.0, 100.0) == [0, 20, 40, 60, 80, 100]


def test_published_numbers_stand_beside_ours(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "published.csv"
    file.write_text(
        "source,dataset,victim,attack,defense,poison_rate,acc,asr,ra\n"
        "Board,cifar10,resnet18,blended,ft,0.01,90,50,\n"
        "Board,cifar10,resnet18,blended,ft,0.1,91.5,60,20\n"
        "Board,gtsrb,resnet18,blended,ft,0.1,1,1,1\n"
        "Paper,cifar10,vgg16,blended,ft,,80,70,\n"
    )
    made, layout = table.compose(table.Request(output=str(root), compare=str(file)), {})
    text = FORMS["markdown"](made, layout)
    assert "| blend | (ft) Board: resnet18, 10 % | — | 91.50 | 60.00 | 20.00 | — | — |" in text
    assert "| blend | (ft) Paper: vgg16 | — | 80.00 | 70.00 | — | — | — |" in text
    assert "gtsrb" not in text and "50.00 | —" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("source,dataset\nx,y\n", "lacks the columns victim"),
        ("", "lacks the columns"),
        (None, "cannot be read"),
        (",".join(published.COLUMNS) + "\na,b,c,d,e,10,1,1,1\n", "line 2: poison_rate=10 is a share"),
    ],
)
def test_a_bad_file_of_published_numbers_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "published.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Refused, match=said):
        published.read(file)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rows"], "options are written option=value"),
        (["format=word"], "there is no such format. Choose from"),
        (["file=x.doc"], "its ending says no format"),
        (["datset=cifar10"], "Did you mean 'dataset'?"),
        (["dataset=mnist"], "no finished run that fits"),
        (["against=nab"], "Did you mean 'nba'?"),
        (["experiment=six"], "there is no such experiment"),
        (["experiment=demo/datasets", "defense=nbaa"], "no job of it has defense=nbaa"),
        (["stage=defence"], "Did you mean 'defend'?"),
        (["rows=defence"], "Did you mean 'defense'?"),
        (["cols=atack"], "Did you mean 'attack'?"),
        (["figures=acc,arr"], "Did you mean"),
        (["format=csv", "compare=x.csv"], "no place in CSV"),
    ],
)
def test_bad_words_are_refused(root: Path, words: list[str], said: str) -> None:
    with pytest.raises(Refused, match=said.replace("?", r"\?")):
        table.show([f"output={root}", *words])


def test_a_file_is_written_in_the_form_that_its_ending_says(root: Path, tmp_path: Path) -> None:
    for ending, start in (("md", "# "), ("csv", "col attack,"), ("tex", "%"), ("html", "<!doctype html>")):
        table.show([f"output={root}", f"file={tmp_path}/new/table.{ending}"])
        assert (tmp_path / "new" / f"table.{ending}").read_text().startswith(start)


@pytest.mark.parametrize("name", experiments.names())
def test_every_experiment_lists_its_jobs(name: str, tmp_path: Path) -> None:
    found = experiments.load(name, str(tmp_path))
    assert found.command.split() == ["nba", "defend", f"+experiment={name}"] and len(found.question) > 20
    assert len({job.folders for job in found.jobs}) == len(found.jobs) >= 3, "no job twice"
    rows, cols = found.axes()
    empty = pivot.build([], rows, cols, ["acc"], planned=found.planned)
    assert empty.sections and all(section.lines for section in empty.sections)


@pytest.mark.parametrize(
    "name", ["six_attacks", "poison_rate", "architectures", "demo/knowledge_form", "demo/datasets"]
)
def test_an_experiment_names_the_folders_that_its_runs_get(name: str, tmp_path: Path) -> None:
    found = experiments.load(name, str(tmp_path))
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for job in (found.jobs[0], found.jobs[len(found.jobs) // 2], found.jobs[-1]):
            run = app.typed(compose("defend", list(job.overrides)), "defend")
            run.output = str(tmp_path)
            assert runs.folder("defend", run) in job.folders, "as Hydra composes it, in full"


def test_settings_as_one_writes_them() -> None:
    assert [results.text(value) for value in (None, True, [1, "a"], 0.5)] == ["null", "true", "[1,a]", "0.5"]


def test_counts_are_no_shares() -> None:
    assert number("figures.triggered", 9000) == number("reference.triggered", 9000) == "9,000"
    assert number("before.asr", 0.5) == number("asr", 0.5) == "50.00"


def test_layout_defaults_say_what_the_star_means() -> None:
    assert "95 % interval that excludes 0" in Layout().legend
