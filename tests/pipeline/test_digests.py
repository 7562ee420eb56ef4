"""What a run reads of another run is what that run wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run
from running import metrics, results
from safetensors.torch import load_file, save_file

FAST = ("victim.depth=10", "train.epochs=1", "train.batch=40")
TROJAN = ("attack=trojan", "attack.steps=3", "attack.batch=8")


def swap(file: Path, name: str) -> None:
    """Another file of the same form."""
    state = load_file(file)
    save_file(state | {name: 0.9 * state[name]}, file)


def refused(answer: tuple[int, str], file: Path) -> None:
    code, text = answer
    last = text.splitlines()[-1]
    assert code == 2 and last.startswith(f"nba: {file}: changed since it was written: its SHA-256 was "), text


@pytest.mark.parametrize("reader", ["defend", "evaluate", "reference", "reference of a finished run"])
def test_weights_that_are_not_what_the_run_wrote(nba: Run, tmp_path: Path, reader: str) -> None:
    assert nba("attack", *FAST, "attack=none")[0] == nba("attack", *FAST)[0] == 0
    clean, victim = sorted(results(tmp_path, "attack"), key=lambda out: "none" not in out.name)
    spoiled = clean if reader == "reference" else victim
    swap(spoiled / "model.safetensors", "fc.bias")
    command = {
        "defend": ("defend", *FAST, "defense=none"),
        "evaluate": ("evaluate", f"run={victim}"),
        "reference": ("attack", *FAST, "reference=true", "seed=0", "attack.rate=0.2"),
        "reference of a finished run": ("attack", *FAST, "reference=true"),
    }[reader]
    before = len(list(tmp_path.rglob("metrics.json")))
    refused(nba(*command, dataset=reader != "evaluate"), spoiled / "model.safetensors")
    assert len(list(tmp_path.rglob("metrics.json"))) == before
    assert nba("attack", *FAST, *(["attack=none"] if reader == "reference" else []), "overwrite=true")[0] == 0
    assert nba(*command, dataset=reader != "evaluate")[0] == 0


def test_a_trigger_that_is_not_what_the_run_wrote(nba: Run, tmp_path: Path) -> None:
    assert nba("attack", *FAST, *TROJAN)[0] == 0
    (victim,) = results(tmp_path, "attack")
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
