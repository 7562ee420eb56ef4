"""What a run reads of another run is what that run wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from builders import tiny_arrays
from conftest import Run, Trained
from running import metrics
from safetensors.torch import load_file, save_file

from nba_cli.data import Npz

FAST = ("victim.depth=10", "train.epochs=1", "train.batch=40")
TROJAN = ("attack=trojan", "attack.steps=3", "attack.batch=8")


def swap(file: Path, name: str) -> None:
    """Another file of the same form."""
    state = load_file(file)
    save_file(state | {name: 0.9 * state[name]}, file)


def refused(answer: tuple[int, str], file: Path, option: str = "") -> None:
    code, text = answer
    last = text.splitlines()[-1]
    assert code == 2 and last.startswith(f"nba: {option}{file}: changed since it was written: its SHA-256 was "), text


@pytest.mark.parametrize("reader", ["defend", "evaluate", "reference", "reference of a finished run"])
def test_weights_that_are_not_what_the_run_wrote(nba: Run, trained: Trained, tmp_path: Path, reader: str) -> None:
    clean, victim = trained(*FAST, "attack=none"), trained(*FAST)
    spoiled = clean if reader == "reference" else victim
    swap(spoiled / "model.safetensors", "fc.bias")
    command = {
        "defend": ("defend", *FAST, "defense=none"),
        "evaluate": ("evaluate", f"run={victim}"),
        "reference": ("attack", *FAST, "reference=true", "seed=0", "attack.rate=0.2"),
        "reference of a finished run": ("attack", *FAST, "reference=true"),
    }[reader]
    before = len(list(tmp_path.rglob("metrics.json")))
    option = f"run={victim}: " if reader == "evaluate" else ""
    refused(nba(*command, dataset=reader != "evaluate"), spoiled / "model.safetensors", option)
    assert len(list(tmp_path.rglob("metrics.json"))) == before
    assert nba("attack", *FAST, *(["attack=none"] if reader == "reference" else []), "overwrite=true")[0] == 0
    assert nba(*command, dataset=reader != "evaluate")[0] == 0


def test_a_trigger_that_is_not_what_the_run_wrote(nba: Run, trained: Trained, tmp_path: Path) -> None:
    victim = trained(*FAST, *TROJAN)
    kept = load_file(victim / "trigger.safetensors")
    name = next(name for name, value in kept.items() if value.is_floating_point())
    swap(victim / "trigger.safetensors", name)
    assert metrics(victim)["digests"].keys() >= {"trigger", "trigger_file"}
    refused(nba("defend", *FAST, *TROJAN, "defense=none"), victim / "trigger.safetensors")
    (learned,) = (tmp_path / "runs/trigger").iterdir()
    swap(learned / "trigger.safetensors", name)
    answer = nba("attack", *FAST, *TROJAN, "attack.rate=0.5")
    refused(answer, learned / "trigger.safetensors")
    assert f"Delete {learned} to learn it again." in answer[1]


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place for all tests: victims that are trained once were trained on what lay there."""
    return tmp_path_factory.mktemp("changing") / "set.npz"


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("reader", ["defend", "evaluate", "reference", "reference of a finished run"])
def test_images_that_are_not_those_of_the_run(
    nba: Run, trained: Trained, changing: Path, monkeypatch: pytest.MonkeyPatch, reader: str, part: str
) -> None:
    """As those of a public data set may change, whose content does not name its runs."""
    monkeypatch.setattr(Npz, "identity", lambda self: "")
    file, arrays = changing, tiny_arrays()
    data = ("dataset=npz", f"dataset.path={file}")
    np.savez(file, **arrays)  # type: ignore[arg-type]
    clean, victim = (trained(*FAST, *data, *more, dataset=False) for more in (["attack=none"], []))
    arrays[f"x_{part}"][0, 0, 0, 0] ^= 1
    np.savez(file, **arrays)  # type: ignore[arg-type]
    command, made = {
        "defend": (("defend", *FAST, *data, "defense=none"), victim),
        "evaluate": (("evaluate", f"run={victim}"), victim),
        "reference": (("attack", *FAST, *data, "reference=true", "attack.rate=0.2"), clean),
        "reference of a finished run": (("attack", *FAST, *data, "reference=true"), victim),
    }[reader]
    code, text = nba(*command, dataset=False)
    if reader == "evaluate" and part == "train":
        assert code == 0, "it measures on test images alone"
        return
    last = text.splitlines()[-1]
    assert code == 2 and last.startswith(
        f"nba: dataset.path={file}: its {part} images have changed since {made} was made"
    ), text
    old = metrics(made)["digests"][part]
    assert f"their SHA-256 was {old} and is " in last
    if reader == "evaluate":
        assert nba(*command, *data, dataset=False)[0] == 0, "a data set that is given may be another"


def test_the_record_of_a_run_is_what_the_run_wrote(nba: Run, trained: Trained) -> None:
    victim = trained(*FAST)
    file, whole = victim / "metrics.json", (victim / "metrics.json").read_text()
    for one, two in (('"acc": 0.', '"acc": 0.0'), ('"rate": 0.1', '"rate": 0.5'), ('"date": "2', '"date": "3')):
        assert one in whole
        file.write_text(whole.replace(one, two, 1))
        for command in (("evaluate", f"run={victim}"), ("defend", *FAST, "defense=none")):
            code, text = nba(*command, dataset=command[0] != "evaluate")
            assert code == 2 and f"nba: {file}: cannot be used (it has changed since it was written)" in text, text
    place = json.loads(whole)["settings"]["output"]
    for moved, text in ((file, whole), (victim / "config.yaml", (victim / "config.yaml").read_text())):
        assert place in text
        moved.write_text(text.replace(place, "moved"))
    assert nba("evaluate", f"run={victim}", dataset=False)[0] == 0, "runs may be moved"
    old = {name: value for name, value in metrics(victim).items() if name != "seal"}
    file.write_text(json.dumps(old))
    assert nba("evaluate", f"run={victim}", "overwrite=true", dataset=False)[0] == 0, "older ones have no seal"


def test_the_config_of_a_run_is_what_its_record_says(nba: Run, trained: Trained) -> None:
    victim = trained(*FAST, "attack=blend")
    file, whole = victim / "config.yaml", (victim / "config.yaml").read_text()
    assert "alpha: 0.1" in whole
    file.write_text(whole.replace("alpha: 0.1", "alpha: 0.3"))
    code, text = nba("evaluate", f"run={victim}", dataset=False)
    assert code == 2 and f"nba: {file}: cannot be used (metrics.json says otherwise about attack.alpha)" in text
    for name in ("alpha", "mean"):  # one that has a value, one that has none
        file.write_text(whole.replace(f"{name}: ", f"{name}s: "))
        code, text = nba("evaluate", f"run={victim}", dataset=False)
        assert code == 2 and f"nba: {file}: cannot be used (metrics.json says otherwise about " in text
