"""The commands as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import nba_cli
from nba_cli.errors import Refused

Run = Callable[..., tuple[int, str]]
SHORT = (
    "victim.depth=10",
    "train.epochs=12",
    "train.batch=40",
    "attack.rate=0.2",
    "dataset.clean_ratio=0.3",
    "dataset.crop=1",
)
QUICK_NBA = ("defense.teacher.steps=6", "defense.student.steps=6")
NBA = [sys.executable, "-c", "from nba_cli.cli import main; main()"]


def results(root: Path, stage: str) -> list[Path]:
    return sorted(path.parent for path in (root / "runs" / stage).glob("*/metrics.json"))


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def lasting(found: dict) -> dict:
    """What has to be equal when the same command runs twice: all but clocks and places."""
    kept = {key: value for key, value in found.items() if key not in ("seconds", "memory", "made", "victim")}
    return kept | {"settings": found["settings"] | {"output": None}}


def test_help_lists_commands_without_torch() -> None:
    code = (
        "import sys; sys.argv=['nba','--help']; from nba_cli.cli import main; main(); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("attack", "defend", "evaluate", "--multirun"))


def test_version() -> None:
    done = subprocess.run([*NBA, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"nba {nba_cli.__version__} (")


@pytest.mark.parametrize("command", ["attack", "defend", "evaluate"])
def test_help_of_a_command_is_for_people(nba: Run, command: str) -> None:
    code, text = nba(command, "--help", dataset=False)
    assert code == 0
    assert text.count("  nba ") >= 3, "three examples"
    assert all(word in text for word in ("Groups", "Options", "badnets", "precision"))


def test_help_explains_the_chosen_parts(nba: Run) -> None:
    _, text = nba("defend", "defense=ft", "attack=blend", "--help", dataset=False)
    assert "attack.alpha" in text and "defense.train.lr" in text and "defense.craft_steps" not in text


def test_cfg_job_shows_settings_and_runs_nothing(nba: Run, tmp_path: Path) -> None:
    code, text = nba("attack", "attack=blend", "attack.alpha=0.3", "--cfg", "job")
    assert code == 0 and "alpha: 0.3" in text and not (tmp_path / "runs").exists()


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
    epochs = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in epochs] == list(range(1, 13)) and epochs[-1]["loss"] < epochs[0]["loss"]
    with Image.open(folder / "trigger.png") as sheet:
        assert sheet.width > 500
    assert "poisoned  48 images (20 % of the 240 training images), all2one -> class 0" in text
    assert all(word in text for word in ("ACC", "ASR", "RA", str(folder), "victim     step 72/72"))
    assert "step 72/72" in (folder / "run.log").read_text()


def test_defend_trains_the_missing_victim_once_and_shows_before_and_after(nba: Run, tmp_path: Path) -> None:
    code, text = nba("defend", *SHORT, *QUICK_NBA)
    assert code == 0
    (victim,), (folder,) = results(tmp_path, "attack"), results(tmp_path, "defend")
    found = metrics(folder)
    assert found["before"] == metrics(victim)["figures"]
    assert found["counts"]["clean"] == 72 and found["digests"]["clean"] and found["der"] is not None
    assert found["digests"]["victim"] == metrics(victim)["digests"]["weights"] != found["digests"]["weights"]
    assert all(word in text for word in ("teacher", "student", "before", "after", "DER", "72 clean images"))
    stamp = (victim / "metrics.json").stat().st_mtime_ns
    code, text = nba("defend", *SHORT, "defense=ft", "defense.train.steps=2")
    assert code == 0 and "attack: already finished" in text
    assert (victim / "metrics.json").stat().st_mtime_ns == stamp and len(results(tmp_path, "defend")) == 2


def test_the_same_command_twice_gives_the_same_metrics(nba: Run, tmp_path: Path) -> None:
    for output in ("one", "two"):
        assert nba("defend", *SHORT, *QUICK_NBA, f"output={tmp_path}/{output}/runs")[0] == 0
    for stage in ("attack", "defend"):
        (one,), (two,) = (results(tmp_path / output, stage) for output in ("one", "two"))
        assert one.name == two.name
        assert lasting(metrics(one)) == lasting(metrics(two))


def test_a_finished_run_is_left_alone_unless_overwritten(nba: Run, tmp_path: Path) -> None:
    nba("attack", *SHORT, "train.epochs=1")
    (folder,) = results(tmp_path, "attack")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    code, text = nba("attack", *SHORT, "train.epochs=1")
    assert code == 0 and "already finished" in text and "badnets" in text and "seconds" in text, "its figures again"
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    nba("attack", *SHORT, "train.epochs=1", "overwrite=true")
    assert before["metrics.json"] != (folder / "metrics.json").stat().st_mtime_ns
    assert results(tmp_path, "attack") == [folder]


def test_multirun_ends_with_the_runs_side_by_side(nba: Run, tmp_path: Path) -> None:
    code, text = nba("defend", "--multirun", *SHORT, "train.epochs=2", "defense=none,ft")
    assert code == 0 and len(results(tmp_path, "attack")) == 1 and len(results(tmp_path, "defend")) == 2
    table = text[text.index("side by side") :].splitlines()
    assert table[1].split() == ["attack", "defense", "ACC", "ASR", "RA", "DER", "seconds"]
    assert [line.split()[:2] for line in table[2:4]] == [["badnets", "none"], ["badnets", "ft"]]
    none = metrics(next(path for path in results(tmp_path, "defend") if "-none-" in path.name))
    assert none["figures"] == none["before"] and table[2].split()[2] == f"{100 * none['figures']['acc']:.2f}"


def test_evaluate_a_run_and_its_bare_weights(nba: Run, tmp_path: Path, tiny_file: Path) -> None:
    nba("attack", *SHORT, "seed=3")
    (victim,) = results(tmp_path, "attack")
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


REFUSED = [
    ("attack", ["-m", "seed=1,2", "--cfg", "job"], "--multirun runs, --cfg only shows"),
    ("attack", ["atack=blend"], "atack: there is no option 'atack'. Did you mean 'attack'?"),
    ("attack", ["attack=bledn"], "attack=bledn: there is no such attack. Did you mean 'blend'?"),
    ("defend", ["defense=nbaa"], "defense=nbaa: there is no such defense. Did you mean 'nba'?"),
    ("attack", ["attack.rat=0.2"], "attack.rat: there is no option 'rat' in attack. Did you mean 'rate'?"),
    ("attack", ["+attack.typo=1"], "+attack.typo: there is no such option."),
    ("attack", ["+seeed=1"], "+seeed: there is no such option. Did you mean 'seed'?"),
    ("attack", ["+attack.version=7"], "+attack.version: there is no such option."),
    ("attack", ["attack.rate=lots"], "attack.rate=lots: Value 'lots' of type 'str' could not be converted to Float"),
    ("attack", ["attack.rate=1.5"], "attack.rate=1.5: a poison rate lies in (0,1]"),
    ("attack", ["attack.rate=0.9"], "asks for 216 poisoned images, but only 160"),
    ("defend", ["attack.rate=0.9"], "asks for 216 poisoned images, but only 160"),
    ("attack", ["attack.target=3"], "attack.target=3: the data set has classes 0 to 2."),
    ("attack", ["train.steps=5"], "give one length and set the other to null"),
    ("attack", ["dataset.path=???"], "dataset.path has no value. Add dataset.path=…"),
    ("attack", ["device=cuda:7"], "device=cuda:7: this machine has"),
    ("attack", ["dataset.path=absent.npz"], "absent.npz: no such file"),
    ("attack", ["victim.depth=17"], "victim.depth=17: a wide residual network has 6n + 4 layers"),
    ("defend", ["defense.train.lr=1"], "there is no option 'train' in defense."),
    (
        "defend",
        ["defense.behavior=[respons]"],
        "defense.behavior=[respons]: Invalid value 'respons', expected one of",
    ),
    ("defend", ["dataset.clean_ratio=0"], "dataset.clean_ratio=0.0: a share of the training set lies in (0,1]."),
    ("evaluate", [], "nba evaluate needs either run=FOLDER (a finished run) or weights=FILE"),
    ("evaluate", ["run=nowhere"], "nowhere: not the folder of a finished run"),
    ("evaluate", ["weights=absent", "victim=wrn_16_1"], "absent: no such file."),
    ("evaluate", ["weights=absent"], "weights alone do not say what they belong to. Add victim="),
]


@pytest.mark.parametrize(("command", "arguments", "line"), REFUSED, ids=[" ".join([c, *a]) for c, a, _ in REFUSED])
def test_bad_input_gets_one_line_and_leaves_nothing(
    nba: Run, tmp_path: Path, command: str, arguments: list[str], line: str
) -> None:
    code, text = nba(command, *arguments)
    assert code == 2
    assert text.startswith("nba: ") and text.count("\n") == 1 and line in text
    left = [path for path in tmp_path.rglob("*") if path.is_file() and ".locks" not in path.parts]
    assert left == []


def test_a_sweep_with_a_bad_value_is_refused_before_its_first_job(nba: Run, tmp_path: Path) -> None:
    code, text = nba("attack", "--multirun", *SHORT, "attack.rate=0.2,lots")
    assert code == 2 and "could not be converted" in text and results(tmp_path, "attack") == []


def test_a_refused_job_is_named_and_the_rest_of_the_sweep_runs(nba: Run, tmp_path: Path) -> None:
    code, text = nba("attack", "--multirun", *SHORT, "train.epochs=1", "attack.rate=0.95,1.5,0.2")
    assert code == 2 and len(results(tmp_path, "attack")) == 1
    refusals = [line for line in text.splitlines() if line.startswith("refused: ")]
    assert len(refusals) == 2
    assert "attack.rate=0.95 asks for 228" in refusals[0] and "attack.rate=1.5: a poison rate" in refusals[1]
    assert [line.split(": ")[1] for line in refusals] == ["attack.rate=0.95", "attack.rate=1.5"], (
        "what tells jobs apart"
    )
    assert not (tmp_path / "runs/.refused").exists()


def test_a_refused_overwrite_keeps_what_was_finished(nba: Run, tmp_path: Path, tiny_file: Path) -> None:
    nba("attack", *SHORT, "train.epochs=1")
    (folder,) = results(tmp_path, "attack")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nba_cli.data.sets.arrays", refuse)
        code, text = nba("attack", *SHORT, "train.epochs=1", "overwrite=true")
    assert code == 2 and "gone" in text
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert all(after[name] == content for name, content in before.items() if name != "run.log")


def refuse(*args: object) -> None:
    raise Refused("gone")


def test_an_unknown_command_is_refused() -> None:
    done = subprocess.run([*NBA, "defned"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "nba: defned: there is no such command. Did you mean 'defend'?\n"


def test_a_defect_keeps_its_traceback(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("our mistake")

    monkeypatch.setattr("nba_cli.metrics.measure", broken)
    with pytest.raises(ZeroDivisionError):
        nba("attack", *SHORT, "train.epochs=1")
    (log,) = (tmp_path / "runs").rglob("run.log")
    assert "ZeroDivisionError: our mistake" in log.read_text(), "the run's own log has it too"


@pytest.mark.parametrize(
    ("stage", "begun", "deadly"),
    [
        ("attack", "attack/*/checkpoint", signal.SIGKILL),
        ("attack", "attack/*/checkpoint", signal.SIGINT),
        ("defend", "defend/*/history.jsonl", signal.SIGKILL),
    ],
)
def test_a_killed_run_goes_on_to_the_same_result(
    tmp_path: Path, tiny_file: Path, stage: str, begun: str, deadly: signal.Signals
) -> None:
    common = [*NBA, stage, "dataset=npz", f"dataset.path={tiny_file}", *SHORT, "train.epochs=120", "reference=false"]
    if stage == "defend":
        common += ["train.epochs=4", "defense.teacher.steps=30", "defense.student.steps=30"]
    environment = os.environ | {"COLUMNS": "120"}
    subprocess.run([*common, f"output={tmp_path}/whole/runs"], env=environment, check=True, capture_output=True)
    broken = [*common, f"output={tmp_path}/broken/runs"]
    process = subprocess.Popen(broken, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list((tmp_path / "broken/runs").glob(begun)):
        time.sleep(0.02)
    process.send_signal(deadly)
    _, errors = process.communicate()
    assert process.returncode == (130 if deadly is signal.SIGINT else -9)
    assert ("the same command goes on" in errors) == (deadly is signal.SIGINT)
    assert results(tmp_path / "broken", stage) == [], "killed before it was finished"
    subprocess.run(broken, env=environment, check=True, capture_output=True)
    (whole,), (again,) = results(tmp_path / "whole", stage), results(tmp_path / "broken", stage)
    assert lasting(metrics(whole)) == lasting(metrics(again))
    weights = [load_file(folder / "model.safetensors") for folder in (whole, again)]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    histories = [(folder / "history.jsonl").read_text().splitlines() for folder in (whole, again)]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in histories]
    assert losses[0] == losses[1] and len(losses[0]) > 1
    assert not (again / "checkpoint").exists()
