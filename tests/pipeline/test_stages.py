"""The stages as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from conftest import Run, Trained
from PIL import Image
from running import NBA, QUICK_NBA, SHORT, lasting, metrics, results
from safetensors.torch import load_file

from nba_cli import devices, seeds
from nba_cli.data import Data, clean_share
from nba_cli.defenses import NBA as Method
from nba_cli.errors import Refused
from nba_cli.runs import sound


def test_attack_leaves_a_whole_run_folder(nba: Run, tmp_path: Path) -> None:
    code, text = nba("attack", *SHORT)
    assert code == 0
    (folder,) = results(tmp_path, "attack")
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "history.jsonl",
        "metrics.json",
        "model.safetensors",
        "run.log",
        "trigger.png",
    }
    found = metrics(folder)
    assert found["schema"] == 1 and found["stage"] == "attack"
    assert found["counts"] == {"train": 240, "test": 90, "poisoned": 48}
    assert found["figures"]["acc"] > 0.9 and found["figures"]["asr"] > 0.8 and found["figures"]["triggered"] == 60
    assert {"train", "test", "poisoned", "weights"} <= found["digests"].keys()
    assert {"date", "commit", "torch", "processor", "threads"} <= found["made"].keys()
    assert found["made"]["instructions"] == devices.instructions()
    epochs = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in epochs] == list(range(1, 13)) and epochs[-1]["loss"] < epochs[0]["loss"]
    with Image.open(folder / "trigger.png") as sheet:
        assert sheet.width > 500
    assert "poisoned  48 images (20 % of the 240 training images), all2one -> class 0" in text
    assert all(word in text for word in ("ACC", "ASR", "RA", str(folder), "victim     step 72/72"))
    assert "step 72/72" in (folder / "run.log").read_text()


def test_defend_trains_the_missing_victim_once_and_shows_before_and_after(nba: Run, tmp_path: Path) -> None:
    brief = (*SHORT, "train.epochs=1")
    code, text = nba("defend", *brief, *QUICK_NBA)
    assert code == 0
    (victim,), (folder,) = results(tmp_path, "attack"), results(tmp_path, "defend")
    found = metrics(folder)
    assert found["before"] == metrics(victim)["figures"]
    assert found["counts"]["clean"] == 72 and found["digests"]["clean"] and found["der"] is not None
    assert found["digests"]["victim"] == metrics(victim)["digests"]["weights"] != found["digests"]["weights"]
    assert all(word in text for word in ("student", "before", "after", "DER", "72 clean images"))
    stamp = (victim / "metrics.json").stat().st_mtime_ns
    code, text = nba("defend", *brief, "defense=ft", "defense.train.steps=2")
    assert code == 0 and "attack: already finished" in text
    assert (victim / "metrics.json").stat().st_mtime_ns == stamp and len(results(tmp_path, "defend")) == 2


def test_a_finished_run_is_left_alone_unless_overwritten(nba: Run, trained: Trained, tmp_path: Path) -> None:
    folder = trained(*SHORT, "train.epochs=1")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    code, text = nba("attack", *SHORT, "train.epochs=1")
    assert code == 0 and "already finished" in text and "badnets" in text and "seconds" in text, "its figures again"
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    nba("attack", *SHORT, "train.epochs=1", "overwrite=true")
    assert before["metrics.json"] != (folder / "metrics.json").stat().st_mtime_ns
    assert results(tmp_path, "attack") == [folder]


def test_evaluate_a_run_and_its_bare_weights(nba: Run, trained: Trained, tmp_path: Path, tiny_file: Path) -> None:
    victim = trained(*SHORT, "seed=3")
    output = f"output={tmp_path}/runs"
    assert nba("evaluate", output, f"run={victim}", dataset=False)[0] == 0
    assert (
        nba("evaluate", f"weights={victim}/model.safetensors", "victim=wrn_16_1", "victim.depth=10", "attack=badnets")[
            0
        ]
        == 0
    )
    assert nba("evaluate", output, f"run={victim}", "attack=blend", dataset=False)[0] == 0
    settings = [metrics(path)["settings"] for path in results(tmp_path, "evaluate")]
    assert [(one["seed"], one["train"]["epochs"]) for one in settings if "seed" in one] == [(3, 12.0)] * 2
    found = [metrics(path)["figures"] for path in results(tmp_path, "evaluate")]
    assert len(found) == 3 and found.count(metrics(victim)["figures"]) == 2
    (blend,) = [one for one in found if one != metrics(victim)["figures"]]
    assert blend["acc"] == metrics(victim)["figures"]["acc"] and blend["asr"] < 0.5


def test_a_clean_victim_has_no_asr(nba: Run, tmp_path: Path) -> None:
    code, text = nba("defend", "attack=none", "victim.depth=10", "train.epochs=1", "defense=none")
    assert code == 0 and "—" in text and "a clean victim" in text
    assert metrics(results(tmp_path, "defend")[0])["figures"]["asr"] is None


def test_a_refused_overwrite_keeps_what_was_finished(nba: Run, trained: Trained, tiny_file: Path) -> None:
    folder = trained(*SHORT, "train.epochs=1")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nba_cli.data.npz.read_arrays", refuse)
        code, text = nba("attack", *SHORT, "train.epochs=1", "overwrite=true")
    assert code == 2 and "gone" in text
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert all(after[name] == content for name, content in before.items() if name != "run.log")


def refuse(*args: object) -> None:
    raise Refused("gone")


@pytest.mark.parametrize(
    ("stage", "begun", "deadly"),
    [
        ("attack", "attack/*/checkpoint", signal.SIGKILL),
        pytest.param("attack", "attack/*/checkpoint", signal.SIGINT, marks=pytest.mark.slow),
        ("defend", "defend/*/history.jsonl", signal.SIGKILL),
    ],
)
def test_a_killed_run_goes_on_to_the_same_result(
    nba: Run, tmp_path: Path, tiny_file: Path, stage: str, begun: str, deadly: signal.Signals
) -> None:
    common = [*SHORT, "train.epochs=24", "reference=false"]
    if stage == "defend":
        common += ["train.epochs=4", "defense.source=tuned", "defense.teacher.steps=20", "defense.student.steps=20"]
    assert nba(stage, *common, f"output={tmp_path}/whole/runs")[0] == 0
    broken = [*common, f"output={tmp_path}/broken/runs"]
    process = subprocess.Popen(
        [*NBA, stage, "dataset=npz", f"dataset.path={tiny_file}", *broken],
        env=os.environ | {"COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    )
    while process.poll() is None and not list((tmp_path / "broken/runs").glob(begun)):
        time.sleep(0.02)
    process.send_signal(deadly)
    _, errors = process.communicate()
    assert process.returncode == (130 if deadly is signal.SIGINT else -9)
    assert ("Run the same command to resume" in errors) == (deadly is signal.SIGINT)
    assert results(tmp_path / "broken", stage) == [], "killed before it was finished"
    assert nba(stage, *broken)[0] == 0
    for each in {"attack", stage}:  # the victim of a killed defense was trained by another process, from the start
        (whole,), (again,) = results(tmp_path / "whole", each), results(tmp_path / "broken", each)
        assert whole.name == again.name and lasting(metrics(whole)) == lasting(metrics(again))
    (whole,), (again,) = results(tmp_path / "whole", stage), results(tmp_path / "broken", stage)
    weights = [load_file(folder / "model.safetensors") for folder in (whole, again)]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    histories = [(folder / "history.jsonl").read_text().splitlines() for folder in (whole, again)]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in histories]
    assert losses[0] == losses[1] and len(losses[0]) > 1
    assert not (again / "checkpoint").exists()


TINY = ("victim.depth=10", "train.epochs=3", "train.batch=40", "dataset.clean_ratio=0.3", "attack.rate=0.2")


def test_tuning_measures_on_a_hold_out_of_the_clean_set(nba: Run, tmp_path: Path) -> None:
    quick = ("defend", *TINY, "defense=ft", "defense.train.steps=6")
    assert nba(*quick, "tune=true")[0] == 0
    (file,) = (tmp_path / "runs" / "defend").glob("*/metrics.json")
    found = json.loads(file.read_text())
    assert found["counts"]["clean"] == 51 and found["figures"]["triggered"] == 14, "72 clean: 51 to see, 21 held out"
    assert found["counts"]["test"] == 21 and found["reference"] is None
    assert nba(*quick)[0] == 0
    assert len(list((tmp_path / "runs" / "defend").iterdir())) == 2, "a run of its own"


def test_the_share_of_clean_images_is_that_of_those_it_sees(nba: Run) -> None:
    _, text = nba("defend", *SHORT, "train.epochs=1", "defense=none", "dataset.clean_ratio=0.0001")
    assert "sees 3 clean images (1.25 % of the training set)" in text, "one of each class"


def test_settings_are_chosen_on_reserved_images(nba: Run, tmp_path: Path) -> None:
    brief = (*SHORT, "train.epochs=1", "defense=none")
    code, text = nba("defend", *brief, "dataset.reserved=30", "dataset.clean_ratio=0.2")
    assert code == 0 and "210 training and 30 reserved images" in text
    for stage in ("attack", "defend"):
        (out,) = results(tmp_path, stage)
        assert metrics(out)["counts"]["train"] == 210 and metrics(out)["counts"]["test"] == 30
    assert metrics(out)["counts"]["clean"] == 42
    assert nba("evaluate", f"run={out}", dataset=False)[0] == 0
    assert metrics(results(tmp_path, "evaluate")[0])["counts"]["test"] == 30
    more = ("dataset=npz", f"dataset.path={metrics(out)['settings']['dataset']['path']}", "dataset.reserved=60")
    code, text = nba("evaluate", f"run={out}", *more, dataset=False)
    assert code == 2 and "was trained with dataset=npz dataset.reserved=30, so nobody knows" in text


@pytest.mark.parametrize("word", ["tune=true", "defense=anp", "defense=fp"])
def test_a_clean_set_that_cannot_be_divided_is_refused_before_the_victim_is_trained(
    nba: Run, tmp_path: Path, word: str
) -> None:
    code, text = nba("defend", *TINY, "dataset.clean_ratio=0.001", word)
    assert code == 2 and "dataset.clean_ratio=0.001: 3 clean images are too few to hold some out" in text
    assert not results(tmp_path, "attack")


def test_settings_are_not_chosen_on_a_model_from_elsewhere(nba: Run) -> None:
    code, text = nba("defend", *TINY, "weights=model.pt", "tune=true")
    assert code == 2 and "tune=true needs a victim with a known trigger" in text


def test_the_defender_can_have_images_that_the_attacker_left_alone(nba: Run, tmp_path: Path) -> None:
    brief = (*SHORT, "train.epochs=1", "defense=none")
    command = ("defend", *brief, "attack.rate=0.3", "dataset.clean_ratio=0.5")
    assert nba(*command)[0] == nba(*command, "dataset.clean_disjoint=true")[0] == 0
    assert len({metrics(out)["digests"]["clean"] for out in results(tmp_path, "defend")}) == 2
    aware = ("attack=inputaware", "attack.width=4", "attack.mask_epochs=0.2")
    code, text = nba("defend", *brief, *aware, "dataset.clean_disjoint=true")
    assert code == 2 and "this attack poisons images in every batch" in text
    assert not list((tmp_path / "runs/attack").glob("*inputaware*")), "refused before a victim is trained"
    assert nba(*command, "dataset.clean_disjoint=true", "tune=true")[0] == 0
    weights = f"weights={results(tmp_path, 'attack')[0] / 'model.safetensors'}"
    code, text = nba("defend", *TINY, weights, "defense=none", "dataset.clean_disjoint=true")
    assert code == 2 and "nobody knows which images the attacker of weights=… changed" in text


def test_a_defense_without_room_is_refused_before_a_victim_is_trained(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nba_cli.pipeline.room.check", lambda stage, *given: stage == "defend" and refuse())
    code, text = nba("defend", *SHORT, "defense=none")
    assert code == 2 and "gone" in text and not (tmp_path / "runs/attack").exists()


def test_a_budget_changes_the_passes_of_a_defense(nba: Run, tmp_path: Path, brief: Method) -> None:
    command = ("defend", *SHORT, "train.epochs=1", "defense=ft", "dataset.clean_ratio=0.05")
    assert nba(*command, "defense.train.steps=5")[0] == nba(*command, "budget=equal", "defense.train.steps=5")[0] == 0
    counts = sorted(metrics(out)["passes"]["backward"] for out in results(tmp_path, "defend"))
    assert counts[0] < 200 < counts[1] == pytest.approx(brief.backward_images(12), rel=0.02)


def test_defend_takes_a_victim_that_lies_elsewhere_and_only_reads_it(nba: Run, tmp_path: Path) -> None:
    """Kept victims serve anyone: nothing is trained, and their folder stays as it is, byte for byte."""
    short = (*SHORT, "train.epochs=1")
    kept, brief = tmp_path / "kept", [*short, "defense=ft", "defense.train.steps=2", "precision=fp32"]
    nba("attack", *short, f"output={kept}/runs", "precision=bf16")
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    (victim,) = results(kept, "attack")
    code, text = nba("defend", *brief, f"victims={kept}/runs")
    assert code == 0, text
    (folder,) = results(tmp_path, "defend")
    assert not (tmp_path / "runs/attack").exists()
    found = metrics(folder)
    assert sound.fault(found | {"settings": found["settings"] | {"victims": "moved"}}) is None  # a place, as output is
    assert metrics(folder)["digests"]["victim"] == metrics(victim)["digests"]["weights"]
    assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before
    nba("defend", *brief)
    assert len(results(tmp_path, "defend")) == 2  # the victim that fp32 trains is another one
    (other,) = results(tmp_path, "attack")
    assert metrics(other)["digests"]["weights"] != metrics(victim)["digests"]["weights"], "of the same seed"
    code, text = nba("defend", *brief, f"victims={tmp_path}/runs")
    assert code == 0 and "already finished" in text and len(results(tmp_path, "defend")) == 2


def test_a_victim_that_does_not_lie_there_is_refused_before_anything_is_written(nba: Run, tmp_path: Path) -> None:
    code, text = nba("defend", *SHORT, "defense=ft", f"victims={tmp_path}/kept")
    assert code == 2 and f"victims={tmp_path}/kept: no finished victim with these settings lies there" in text
    assert "attack=badnets seed=0" in text and not (tmp_path / "runs").exists()
    code, text = nba("defend", *SHORT, "defense=ft", f"victims={tmp_path}/kept", "weights=model.pt")
    assert code == 2 and "give one of them" in text


def test_repetitions_draw_by_their_seeds_and_their_evaluations_share_the_name_of_what_they_measure(
    nba: Run, tmp_path: Path, tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief, drawn, derive = ("victim.depth=10", "train.epochs=1", "train.batch=40"), defaultdict(list), seeds.derive
    monkeypatch.setattr(seeds, "derive", lambda seed, use: drawn[use].append(seed) or derive(seed, use))
    for word in ("seed=0", "seed=1", "attack.rate=0.2"):
        assert nba("attack", *brief, word)[0] == 0
    assert all(set(drawn[use]) == {0, 1} for use in ("poison", "bystanders", "weights", "partner", "train")), drawn
    made = [metrics(out) for out in results(tmp_path, "attack")]
    one, two = (each["digests"] for each in made if each["settings"]["attack"]["rate"] == 0.1)
    assert one["poisoned"] != two["poisoned"] and one["weights"] != two["weights"]
    cleaning = ("defense=ft", "defense.train.steps=2", "defense_seed=1", "dataset.clean_seed=2")
    assert nba("defend", *brief, *cleaning)[0] == 0
    (cured,) = results(tmp_path, "defend")
    assert drawn["defense"] == [1] and metrics(cured)["digests"]["clean"] == clean_share(tiny, 0.05, 2).digest()
    for run in (*results(tmp_path, "attack"), *results(tmp_path, "defend")):
        assert nba("evaluate", f"run={run}", "attack=blend", dataset=False)[0] == 0
    found = sorted(metrics(out)["measured"] for out in results(tmp_path, "evaluate"))
    assert len(found) == 4 and len(set(found)) == 3, "two seeds of one victim; another rate; a cleaned one"
    assert all("-s" not in name and "-d1" not in name for name in found)
