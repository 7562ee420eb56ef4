"""`nba plot`, and the snapshots that its curves are made of."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from nba_cli import plot, results, snapshots
from nba_cli.data import Data
from nba_cli.errors import Refused
from nba_cli.plan import Plan
from nba_cli.render.scatter import COLOURS, SHAPES, mark
from nba_cli.train import Snapshot, fit, silent

Run = Callable[..., tuple[int, str]]
TINY = ("victim.depth=10", "train.epochs=3", "train.batch=40", "dataset.clean_ratio=0.3", "attack.rate=0.2")


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


def test_fit_gives_a_snapshot_at_each_epoch_of_what_it_would_return(tiny: Data) -> None:
    seen: list[dict] = []

    def report(phase: str, step: int, total: int, scalars: object = None, snapshot: Snapshot | None = None) -> None:
        if snapshot is not None:
            seen.append({name: value.clone() for name, value in snapshot().items()})

    for average in (None, 0.5):
        seen.clear()
        model = fit(
            Line(),
            tiny,
            Plan(epochs=3, batch=80, lr=0.1, average=average),
            augment=lambda images, generator: images.float() / 255,
            generator=torch.Generator().manual_seed(0),
            report=report,
        )
        assert len(seen) == 3 and not torch.equal(seen[0]["layer.weight"], seen[2]["layer.weight"])
        assert torch.equal(seen[2]["layer.weight"], model.layer.weight), "of the average where one is kept"


def test_snapshots_keep_weights_of_the_model_only_and_measure_them_in_order(tmp_path: Path) -> None:
    model = Line()
    taken = snapshots.Snapshots(tmp_path / snapshots.FOLDER, model, silent)
    for step in (5, 10):
        state = {name: value + step for name, value in model.state_dict().items()}
        taken("student", step, 10, {"epoch": 1.0}, lambda state=state: state)
    taken("mask", 3, 3, {"epoch": 1.0}, lambda: {"mask": torch.ones(1)})
    taken("student", 11, 11)
    start = model.layer.bias.detach().clone()
    figures = lambda: {"acc": float((model.layer.bias - start).mean().detach()), "asr": None, "ra": None}  # noqa: E731
    taken.measure(model, figures, {"acc": 0.1, "asr": 1.0, "ra": 0.0}, {"acc": 0.2, "asr": 0.0, "ra": 1.0})
    lines = [json.loads(line) for line in (tmp_path / snapshots.CURVE).read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["before", "student", "student", "after"]
    assert [line["step"] for line in lines] == [0, 5, 10, 0]
    assert lines[1]["acc"] == pytest.approx(5, abs=1e-4) and lines[2]["acc"] == pytest.approx(10, abs=1e-4)
    assert not (tmp_path / snapshots.FOLDER).exists()


def test_snapshots_change_no_result(nba: Run, tmp_path: Path) -> None:
    quick = ("defend", *TINY, "defense=ft", "defense.train.steps=6")
    digests = []
    for more in ((), ("snapshots=true", "overwrite=true")):
        assert nba(*quick, *more)[0] == 0
        (file,) = (tmp_path / "runs" / "defend").glob("*/metrics.json")
        digests.append(json.loads(file.read_text())["digests"]["weights"])
    assert digests[0] == digests[1]
    lines = [json.loads(line) for line in (file.parent / snapshots.CURVE).read_text().splitlines()]
    found = json.loads(file.read_text())
    assert lines[0]["phase"] == "before" and lines[-1]["asr"] == found["figures"]["asr"]
    assert lines[-2] == lines[-1] | {"phase": "fine-tune", "step": 6}, "the last snapshot is what came out"


def test_tuning_measures_on_a_hold_out_of_the_clean_set(nba: Run, tmp_path: Path) -> None:
    quick = ("defend", *TINY, "defense=ft", "defense.train.steps=6")
    assert nba(*quick, "tune=true")[0] == 0
    (file,) = (tmp_path / "runs" / "defend").glob("*/metrics.json")
    found = json.loads(file.read_text())
    assert found["counts"]["clean"] == 51 and found["figures"]["triggered"] == 14, "72 clean: 51 to see, 21 held out"
    assert found["counts"]["test"] == 21 and found["reference"] is None
    assert nba(*quick)[0] == 0
    assert len(list((tmp_path / "runs" / "defend").iterdir())) == 2, "a run of its own"


@pytest.fixture
def runs(nba: Run, tmp_path: Path) -> Path:
    sweep = ("-m", *TINY, "defense=ft", "defense.train.steps=3,6", "defense_seed=0,1", "snapshots=true")
    assert nba("defend", *sweep)[0] == 0
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kind=training"], ["training loss", "epoch", "badnets ft defense.train.steps=3 defense_seed=0"]),
        (["kind=defense"], ["ASR, %", "epoch of the defense"]),
        (["x=defense.train.steps"], ["defense.train.steps", "ft", "ASR, %"]),
    ],
)
def test_every_kind_writes_png_and_svg(runs: Path, tmp_path: Path, words: list[str], said: list[str]) -> None:
    pytest.importorskip("matplotlib")
    plot.show([f"output={runs}", "defense=ft", f"file={tmp_path}/figures/one", *words])
    with Image.open(tmp_path / "figures" / "one.png") as picture:
        assert picture.width > 800
    svg = (tmp_path / "figures" / "one.svg").read_text()
    assert all(f">{word}<" in svg for word in said)
    first = (tmp_path / "figures" / "one.svg").read_bytes()
    plot.show([f"output={runs}", "defense=ft", f"file={tmp_path}/figures/one", *words])
    assert (tmp_path / "figures" / "one.svg").read_bytes() == first


def test_a_run_is_named_by_what_tells_it_from_those_of_its_kinds(tmp_path: Path) -> None:
    found = []
    for number, (attack, more) in enumerate(
        [("blend", {"alpha": 0.1}), ("blend", {"alpha": 0.2}), ("sig", {"delta": 9})]
    ):
        folder = tmp_path / "attack" / str(number)
        folder.mkdir(parents=True)
        record = {"stage": "attack", "settings": {"attack": {"kind": attack, **more}, "seed": 0}}
        (folder / "metrics.json").write_text(json.dumps(record))
        found.append(results.one(folder))
    assert [plot.name_of(each, found) for each in found] == ["blend attack.alpha=0.1", "blend attack.alpha=0.2", "sig"]


def test_marks_of_a_page_differ() -> None:
    every = [mark(kind, 0, 0) for kind in range(len(COLOURS) * len(SHAPES))]
    assert len(set(every)) == len(every)


def test_lines_differ_in_colour_dash_and_mark() -> None:
    styles = [plot.style(number) for number in range(7)]
    for one, two in itertools.pairwise(styles):
        assert all(one[key] != two[key] for key in ("color", "linestyle", "marker"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kind=pie"], "there is no such plot"),
        (["x"], "option=value"),
        (["attack=wanet"], "no finished run that fits"),
        (["atack=wanet"], "no option of nba plot, and no setting of these runs. Did you mean 'attack'"),
        (["kind=sweep"], "needs x=SETTING"),
        (["kind=defense", "figures=accc"], "the snapshots know no such figure. Did you mean 'acc'"),
        (["x=defense_seed", "figures=accc"], "none of these runs has it. Did you mean 'acc'"),
        (["x=defense.bta"], "none of these runs has this setting"),
    ],
)
def test_bad_words_are_refused(runs: Path, words: list[str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        plot.show([f"output={runs}", *words])


def test_runs_without_a_history_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "defend" / "run"
    folder.mkdir(parents=True)
    settings = {"attack": {"kind": "blend"}, "defense": {"kind": "ft"}}
    (folder / "metrics.json").write_text(json.dumps({"stage": "defend", "settings": settings, "figures": {}}))
    with pytest.raises(Refused, match="none of these runs has a history"):
        plot.show([f"output={tmp_path}"])
    assert not list(Path().glob("training.*"))


def test_settings_are_not_chosen_on_a_model_from_elsewhere(nba: Run) -> None:
    code, text = nba("defend", *TINY, "weights=model.pt", "tune=true")
    assert code == 2 and "tune=true: settings are chosen on victims whose trigger is known" in text
