"""What a run tells its logger, whatever logger that is."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import Run
from running import SHORT, interrupt, metrics, results

from nba_cli.loggers import Logger, MLflow, Session, Subject, WandB
from nba_cli.pipeline import tracking
from nba_cli.pipeline.tracking import Told
from nba_cli.training import Event

QUICK = (*SHORT, "train.epochs=3")
CLEAN = ("victim.depth=10", "train.epochs=1", "train.batch=40", "attack=none")
Attempts = list["Heard"]


@dataclass
class Heard(Session):
    """A session that keeps what it is told."""

    subject: Subject
    points: list[tuple[str, dict[str, float], int]] = field(default_factory=list)
    ended: list[tuple[Mapping[str, float] | None, Path | None]] = field(default_factory=list)
    place: str = "the test"

    def scalars(self, phase: str, values: Mapping[str, float], step: int) -> None:
        self.points.append((phase, dict(values), step))

    def end(self, figures: Mapping[str, float] | None, picture: Path | None) -> None:
        self.ended.append((figures, picture))


class Deaf(Heard):
    """A session whose server is down."""

    def scalars(self, phase: str, values: Mapping[str, float], step: int) -> None:
        raise ConnectionError("nobody answers\nafter 7 attempts")

    def end(self, figures: Mapping[str, float] | None, picture: Path | None) -> None:
        raise ConnectionError("nobody answers")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Attempts:
    """The sessions of the runs to come, in the place of no logger."""
    return listen(monkeypatch, Heard)


def listen(monkeypatch: pytest.MonkeyPatch, session: type[Heard], cls: type[Logger] = Logger) -> Attempts:
    found: Attempts = []
    monkeypatch.setattr(cls, "open", lambda self, subject: found.append(session(subject)) or found[-1])
    return found


def test_a_logger_is_told_settings_curves_and_record(nba: Run, tmp_path: Path, heard: Attempts) -> None:
    assert (
        nba("defend", *QUICK, "defense=ft", "defense.train.steps=40", "defense.train.batch=8", "snapshots=true")[0] == 0
    )
    for session, stage in zip(heard, ("attack", "defend"), strict=True):
        (out,) = results(tmp_path, stage)
        subject, record = session.subject, metrics(out)
        assert subject.name == f"{stage}/{out.name}" and subject.root == tmp_path / "runs" and not subject.resumed
        assert subject.tags == {"stage": stage, "dataset": "npz", "victim": "wrn_10_1", "attack": "badnets"} | (
            {"defense": "ft"} if stage == "defend" else {}
        )
        assert subject.config == record["settings"] and "logger" not in subject.config
        assert subject.settings["attack.kind"] == "badnets" and subject.settings["train.epochs"] == 3
        assert (out / "logger").read_text() == subject.number
        epochs = [(phase, step, values["loss"]) for phase, values, step in session.points if "epoch" in values]
        lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
        assert epochs == [(line["phase"], line["step"], line["loss"]) for line in lines]
        ((figures, picture),) = session.ended
        assert figures is not None and picture == out / "trigger.png"
        assert {name: figures[f"figures.{name}"] for name in ("acc", "asr", "ra")}.items() <= record["figures"].items()
        assert "schema" not in figures and not any(name.startswith("settings") for name in figures)
    (out,), points = results(tmp_path, "defend"), heard[1].points
    figures = heard[1].ended[0][0] or {}
    assert figures["der"] == metrics(out)["der"]
    assert figures["seconds.defense"] == metrics(out)["seconds"]["defense"]
    assert ("fine-tune", 20) in [(phase, step) for phase, values, step in points if "epoch" not in values], (
        "in an epoch"
    )
    curve = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()][1:-1]
    shown = [(step, values) for phase, values, step in points if phase == "measured/fine-tune"]
    assert shown == [(line["step"], {name: line[name] for name in ("acc", "asr", "ra")}) for line in curve] != []


def test_an_evaluation_has_a_logger_of_its_own(nba: Run, tmp_path: Path, heard: Attempts) -> None:
    assert nba("attack", *CLEAN)[0] == 0
    (victim,) = results(tmp_path, "attack")
    assert heard[0].ended[0][1] is None, "no picture of no trigger"
    assert nba("evaluate", f"run={victim}", f"output={tmp_path}/runs", "attack=badnets", dataset=False)[0] == 0
    (out,) = results(tmp_path, "evaluate")
    assert heard[1].subject.name == f"evaluate/{out.name}" and heard[1].points == []
    figures, picture = heard[1].ended[0]
    assert figures is not None and figures["figures.asr"] == metrics(out)["figures"]["asr"]
    assert picture == out / "trigger.png"


def test_a_logger_changes_neither_result_nor_name_nor_record(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "http://me:secret@host"
    with monkeypatch.context() as patch:
        listen(patch, Heard, MLflow)
        patch.setattr(MLflow, "package", None)
        assert nba("attack", *QUICK, "logger=mlflow", f"logger.uri={secret}", f"output={tmp_path}/a/runs")[0] == 0
    assert nba("attack", *QUICK, f"output={tmp_path}/b/runs")[0] == 0
    (one,), (two,) = (results(tmp_path / output, "attack") for output in "ab")
    assert one.name == two.name
    assert [metrics(out)["digests"]["weights"] for out in (one, two)] == [metrics(two)["digests"]["weights"]] * 2
    assert not [file.name for file in one.iterdir() if b"secret" in file.read_bytes()], "records are published"


def test_a_logger_that_fails_costs_a_warning_and_nothing_else(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(monkeypatch, Deaf)
    code, text = nba("attack", *QUICK)
    (out,) = results(tmp_path, "attack")
    assert code == 0 and text.count("the logger is tried again") == 1
    assert "logger: ConnectionError: nobody answers. The run goes on" in text
    assert "It does not show how the run ended" in text and "it lacks 3 points of the curves" in text
    assert "it lacks 3 points" in (out / "run.log").read_text()


def test_a_logger_that_has_failed_is_tried_again_later(
    heard: Attempts, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    session = Heard(subject=None)  # type: ignore[arg-type]
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    told = Told(session)
    with monkeypatch.context() as patch:
        patch.setattr(session, "scalars", lambda *_: 1 / 0)
        told.point("victim", {"loss": 1.0}, 1)
    for step, seconds in ((2, tracking.PAUSE - 1), (3, tracking.PAUSE + 1)):
        now[0] = seconds
        told.point("victim", {"loss": 1.0}, step)
    assert [step for _, _, step in session.points] == [3] and told.missing == 2


def test_training_does_not_wait_for_a_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    session, answers = Heard(subject=None), threading.Event()  # type: ignore[arg-type]
    usual = session.scalars
    monkeypatch.setattr(session, "scalars", lambda *given: answers.wait(60) and usual(*given))
    passed: list[Event] = []
    told = Told(session)
    progress = told.after(passed.append)
    for step in (1, 2):
        progress(Event("victim", step, 2, {"loss": 1.0}))
    progress(Event("victim", 3, 3))
    assert len(passed) == 3 and session.points == []
    answers.set()
    told.end({"figures.acc": 1.0}, None)
    assert [step for _, _, step in session.points] == [1, 2], "what has no scalars is no point"
    assert session.ended == [({"figures.acc": 1.0}, None)]


@pytest.mark.parametrize("attack", ["badnets", "trojan"])  # trojan trains a helper model before its victim
def test_a_logger_that_cannot_be_opened_refuses_the_run_before_it_trains(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    monkeypatch.setattr(Logger, "open", lambda *_: (_ for _ in ()).throw(ConnectionError("no such host\n\nat all")))
    code, text = nba("attack", *QUICK, f"attack={attack}")
    assert code == 2 and text.count("\n") == 1
    assert "logger=none: ConnectionError: no such host." in text
    assert not list((tmp_path / "runs/attack").iterdir()) and not (tmp_path / "runs/helper").exists()


def test_a_resumed_run_goes_on_under_its_number_and_an_overwritten_one_gets_another(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: Attempts
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        code, text = nba("attack", *QUICK)
        assert code == 130 and "Run the same command to resume" in text
    assert heard[0].ended == [(None, None)]
    assert nba("attack", *QUICK)[0] == nba("attack", *QUICK, "overwrite=true")[0] == 0
    first, resumed, again = (session.subject for session in heard)
    assert (first.resumed, resumed.resumed, again.resumed) == (False, True, False)
    assert first.number == resumed.number != again.number
    assert [step for _, _, step in heard[0].points + heard[1].points] == [6, 12, 18]


def test_the_jobs_of_a_sweep_are_runs_of_one_group(nba: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[str | None] = []
    monkeypatch.setattr(WandB, "open", lambda self, subject: groups.append(self.group))
    monkeypatch.setattr(WandB, "package", None)
    assert nba("attack", *CLEAN, "logger=wandb", "--multirun", "seed=0,1")[0] == 0
    assert len(groups) == 2 and groups[0] == groups[1] and "seed=0,1" in str(groups[0])
    assert nba("attack", *CLEAN, "logger=wandb", "--multirun", "seed=2,3", "logger.group=mine")[0] == 0
    assert groups[2:] == ["mine"] * 2
