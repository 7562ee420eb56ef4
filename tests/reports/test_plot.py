"""`nba plot`."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Run
from PIL import Image
from records import EMPTY

from nba_cli.cli import main
from nba_cli.errors import Refused
from nba_cli.reports import curves, drawing, plot
from nba_cli.runs.reading import read_one

TINY = ("victim.depth=10", "train.epochs=3", "train.batch=40", "dataset.clean_ratio=0.3", "attack.rate=0.2")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names without a folder are written to the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def made(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("plots") / "runs"
    sweep = ["-m", *TINY, "defense=ft", "defense.train.steps=3,6", "defense_seed=0,1", "snapshots=true"]
    given = ["dataset=npz", f"dataset.path={tiny_file}", "reference=false", f"output={output}"]
    assert main.launch("defend", [*sweep, *given]) == 0
    return output


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "runs")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kind=training"], ["defense: training loss", "badnets ft defense.train.steps=3 defense_seed=0"]),
        (["kind=defense"], ["ASR, %", "epoch of the defense (0: before; last point: after)"]),
        (["x=defense.train.steps"], ["defense.train.steps", "ft", "ASR, %", "defense: one victim each"]),
    ],
)
def test_every_kind_writes_png_and_svg(runs: Path, tmp_path: Path, words: list[str], said: list[str]) -> None:
    pytest.importorskip("matplotlib")
    plot.main([f"output={runs}", "defense=ft", f"file={tmp_path}/figures/one", *words])
    with Image.open(tmp_path / "figures" / "one.png") as picture:
        assert picture.width > 800
    svg = (tmp_path / "figures" / "one.svg").read_text()
    assert all(f">{word}<" in svg for word in said)
    first = (tmp_path / "figures" / "one.svg").read_bytes()
    plot.main([f"output={runs}", "defense=ft", f"file={tmp_path}/figures/one.png", *words])
    assert (tmp_path / "figures" / "one.svg").read_bytes() == first
    assert sorted(file.name for file in (tmp_path / "figures").iterdir()) == ["one.png", "one.svg"]


@pytest.mark.parametrize(
    ("given", "base"),
    [("a/b", "a/b"), ("a/b.png", "a/b"), ("b.SVG", "b"), ("b.v2", "b.v2"), ("a.b/c", "a.b/c"), (".png", ".png")],
)
def test_an_ending_is_no_part_of_a_plots_name(given: str, base: str) -> None:
    assert plot.without_ending(given) == base


def test_epochs_of_victims_and_defenses_share_no_axis(runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot.main([f"output={runs}", "file=both"])
    svg = Path("both.svg").read_text()
    assert [svg.count(f">epoch of the {what}<") for what in ("victim", "defense")] == [2, 2]
    assert svg.count(">victim: training loss<") == svg.count(">defense: training loss<") == 1
    plot.main([f"output={runs}", "stage=attack", "file=one"])
    assert "of the defense" not in Path("one.svg").read_text()


@pytest.mark.parametrize("kind", ["training", "defense"])
def test_epochs_are_counted_in_whole_numbers(nba: Run, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("matplotlib")
    assert nba("defend", *TINY, "defense=ft", "defense.train.steps=1", "snapshots=true")[0] == 0
    plot.main([f"output={tmp_path}/runs", "stage=defend", f"kind={kind}", "file=one"])
    below = Path("one.svg").read_text().partition("epoch of the defense")[0]
    marks = [float(mark) for mark in re.findall(r">([\d.]+)<", below)]
    assert marks and all(mark == int(mark) for mark in marks), marks


def test_of_a_model_without_a_trigger_acc_alone_is_drawn(nba: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    tiny = [word for word in TINY if "attack" not in word]
    code, text = nba("defend", *tiny, "attack=none", "defense=ft", "defense.train.steps=1", "snapshots=true")
    assert code == 0, text
    given = [f"output={tmp_path}/runs", "stage=defend", "kind=defense"]
    plot.main([*given, "file=one"])
    drawn = Path("one.svg").read_text()
    assert ">ACC, %<" in drawn and ">ASR, %<" not in drawn
    with pytest.raises(Refused, match="figures=asr: the snapshots know no such figure"):
        plot.main([*given, "figures=asr"])


def test_a_line_divides_the_teachers_epochs_from_the_students() -> None:
    drawn: list[float] = []
    axes = SimpleNamespace(axvline=lambda x, **_: drawn.append(x))
    student = [{"phase": "student"}] * 2
    curves.divide(axes, [{"phase": "teacher"}] * 3 + student, 1)
    curves.divide(axes, student, 1)
    assert drawn == [3.5], "the third epoch is the teacher's last; without a teacher there is nothing to divide"


def test_a_run_is_named_by_what_tells_it_from_those_of_its_kinds(tmp_path: Path) -> None:
    found = []
    for number, (attack, more) in enumerate(
        [("blend", {"alpha": 0.1}), ("blend", {"alpha": 0.2}), ("sig", {"delta": 9})]
    ):
        folder = tmp_path / "attack" / str(number)
        folder.mkdir(parents=True)
        record = {"stage": "attack", "settings": {"attack": {"kind": attack, **more}, "seed": 0}}
        (folder / "metrics.json").write_text(json.dumps(EMPTY | record))
        found.append(read_one(folder))
    assert [curves.name_of(each, found) for each in found] == [
        "blend attack.alpha=0.1",
        "blend attack.alpha=0.2",
        "sig",
    ]


def test_lines_differ_in_colour_dash_and_mark() -> None:
    styles = [drawing.style(number) for number in range(7)]
    for one, two in itertools.pairwise(styles):
        assert all(one[key] != two[key] for key in ("color", "linestyle", "marker"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kind=pie"], "there is no such plot"),
        (["x"], "option=value"),
        (["kind=training", "file=/dev/null"], "a device or a pipe lies there"),
        (["attack=wanet"], "attack=wanet: no finished attack and defend run in output=.* has it. "),
        (["atack=wanet"], "no option of nba plot, and no setting of these runs. Did you mean 'attack'"),
        (["kind=sweep"], "needs x=SETTING"),
        (["kind=defense", "figures=accc"], "the snapshots know no such figure. Did you mean 'acc'"),
        (["kind=defense", "figures=step"], "figures=step: the snapshots know no such figure."),
        (["x=defense.train.steps", "figures=accc"], "none of these runs has it. Did you mean 'acc'"),
        (["x=defense.bta"], "none of these runs has this setting"),
        (["x=defense.train.steps", "lines=defens"], "lines=defens: .*Did you mean 'defense'"),
        (["kind=training", "lines=attack"], "lines=attack: kind=training has no use for it"),
        (["overwrite=maybe"], "overwrite=maybe: true or false"),
        (["kind=training", "compare=published"], "compare=published: published figures know no steps"),
    ],
)
def test_bad_words_are_refused(runs: Path, words: list[str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        plot.main([f"output={runs}", *words])


def test_runs_without_a_history_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "defend" / "run"
    folder.mkdir(parents=True)
    settings = {"attack": {"kind": "blend"}, "defense": {"kind": "ft"}}
    (folder / "metrics.json").write_text(json.dumps(EMPTY | {"stage": "defend", "settings": settings}))
    with pytest.raises(Refused, match="none of these runs has a history"):
        plot.main([f"output={tmp_path}"])
    assert not list(Path().glob("training.*"))
