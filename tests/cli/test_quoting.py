"""Values that Hydra's grammar has no word for, and a working folder that Hydra would change."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from conftest import Run
from running import results

from nba_cli.cli.quoting import quoted

FAST = ("victim.depth=10", "train.epochs=1", "train.batch=40")


@pytest.mark.parametrize(
    "name", ["Äpfel.npz", "my set.npz", "a(1).npz", "it's.npz", "x=[y].npz", "100%&co;.npz", "林檎.npz"]
)
def test_a_path_is_taken_as_it_stands(nba: Run, tmp_path: Path, tiny_file: Path, name: str) -> None:
    shutil.copy(tiny_file, tmp_path / name)
    given = ("attack", *FAST, "dataset=npz", f"dataset.path={tmp_path}/{name}", f"output={tmp_path}/runs of {name}")
    code, text = nba(*given, dataset=False)
    assert code == 0, text
    assert len(list((tmp_path / f"runs of {name}" / "attack").glob("*/metrics.json"))) == 1


def test_several_values_are_quoted_one_by_one(nba: Run, tmp_path: Path, tiny_file: Path) -> None:
    names = ("Äpfel.npz", "b.npz")
    for name in names:
        shutil.copy(tiny_file, tmp_path / name)
    paths = ",".join(f"{tmp_path}/{name}" for name in names)
    code, text = nba("attack", "-m", *FAST, "dataset=npz", f"dataset.path={paths}", dataset=False)
    assert code == 0, text
    assert len(results(tmp_path, "attack")) == 1, "they hold the same images"


def test_what_can_be_parsed_is_left_alone() -> None:
    words = [
        "-m",
        "attack=glob(*)",
        "seed=range(3)",
        "a.b='x y'",
        "list=[a,b]",
        "x=1,2",
        "ä=3",
        "output=my runs",
        "--ü",
    ]
    assert quoted(words) == words


@pytest.mark.parametrize("name", ["a,b.npz", "ä,b.npz", "Äpfel, rot.npz"])
def test_a_comma_gets_the_line_that_would_work(nba: Run, tmp_path: Path, tiny_file: Path, name: str) -> None:
    shutil.copy(tiny_file, tmp_path / name)
    given = ("attack", *FAST, "dataset=npz")
    code, text = nba(*given, f"dataset.path={tmp_path}/{name}", dataset=False)
    assert code == 2 and text.count("\n") == 1
    assert text.startswith(f"nba: dataset.path={tmp_path}/{name}: several values"), "as it was typed"
    word = shlex.split(text.partition("If it is one value: ")[2])
    assert nba(*given, *word, dataset=False)[0] == 0


PARTS = ("defense=ft,none", "+attack=sig,blend", "+experiment=demo,teacher", "hydra/launcher=basic,joblib", "seed=1,2")


@pytest.mark.parametrize("word", PARTS)
def test_several_parts_or_numbers_are_a_sweep_and_nothing_else(nba: Run, word: str) -> None:
    assert nba("defend", word) == (2, f"nba: {word}: several values are a sweep: add --multirun.\n")


def test_a_working_folder_of_hydras_does_not_nest_runs(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert nba("attack", *FAST, "output=runs", "hydra.job.chdir=true")[0] == 0
    assert nba("attack", *FAST, "-m", "seed=1,2", "output=runs", "hydra.job.chdir=true")[0] == 0
    assert len(results(tmp_path, "attack")) == len(list(tmp_path.rglob("metrics.json"))) == 3
    assert Path.cwd() == tmp_path


def test_bytes_that_are_no_text(nba: Run) -> None:
    code, text = nba("attack", "output=/tmp/\udcff")
    assert code == 2 and "'output=/tmp/\\udcff': these bytes are no text" in text


def test_a_path_is_no_number_and_begins_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    places = {"output", "dataset.path"}
    words = ["output=2024_05_01", "dataset.path=~/a,1e3,b", "output=runs", "train.lr=1e-2", "+output='x'"]
    assert quoted(words, places) == [
        "output='2024_05_01'",
        "dataset.path=/home/me/a,'1e3',b",
        "output=runs",
        "train.lr=1e-2",
        "+output='x'",
    ]


def test_runs_land_in_the_folder_that_was_typed(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for output, where in (("2024_05_01", tmp_path / "2024_05_01"), ("~/2", tmp_path / "home/2")):
        assert nba("attack", *FAST, f"output={output}")[0] == 0
        assert len(list(where.glob("attack/*/metrics.json"))) == 1
        assert nba("status", f"output={output}", dataset=False)[0] == 0
    assert not (tmp_path / "~").exists()
