"""dry_run=true: what a command would do, and nothing of it done."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from pathlib import Path

import pytest
from conftest import Run
from rich.console import Console

from nba_cli.cli.completion import words
from nba_cli.cli.forecast import Outlook
from nba_cli.cli.journal import Journal
from nba_cli.cli.sweep import SweepView
from nba_cli.cli.tasks import TASKS
from nba_cli.pipeline import room
from nba_cli.runs.durations import Experience
from nba_cli.runs.sound import with_seal
from nba_cli.victims import Network, Victim

TINY = ("victim.depth=10", "train.epochs=2", "train.batch=40", "dataset.clean_ratio=0.3", "dataset.crop=1")
SWEEP = ("defend", "-m", *TINY, "attack.rate=0.2", "defense=none,ft", "defense.train.steps=2", "seed=0,1")


def everything(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_nothing_is_started_and_nothing_written(nba: Run, tmp_path: Path) -> None:
    before = everything(tmp_path)
    code, text = nba("defend", "-m", *TINY, "attack.rate=0.2", "defense=none,ft", "dry_run=true", "reference=true")
    assert code == 0 and everything(tmp_path) == before
    lines = text.splitlines()
    assert [line.split() for line in lines[:2]] == [["to", "do", "defense=none"], ["to", "do", "defense=ft"]]
    assert [line.split(": ")[0] for line in lines[2:4]] == ["first     clean victim", "first     victim"]
    assert lines[-1] == (
        "dry run: 2 jobs, 1 victim and 1 clean victim to train first, time unknown: no run like these has finished yet"
    )


def test_it_tells_what_is_finished_refused_and_skipped_and_how_long_the_rest_takes(nba: Run, tmp_path: Path) -> None:
    given = ("defend", "-m", *TINY, "attack.rate=0.2", "defense.train.steps=2", "defense=ft")
    assert nba(*given, "seed=0")[0] == 0
    before = everything(tmp_path)
    code, text = nba(*given[:-1], "defense=ft,none", "seed=0,1", "dry_run=true")
    assert code == 0 and everything(tmp_path) == before
    rows = text.splitlines()
    assert [row[:10].strip() for row in rows[:4]] == ["finished", "to do", "refused", "refused"]
    assert rows[1].split("seed=1")[1].strip().startswith("about ")
    assert "defense.train.steps: there is no option 'train' in defense (none)." in rows[2], "as the job itself says it"
    assert rows[4].startswith("first     victim: ") and "-badnets-s1-" in rows[4] and "about" in rows[4]
    assert "4 jobs, 1 finished, 2 refused, 1 victim to train first, about " in rows[5]
    assert "not counted" not in text, "its record says what loading and measuring took"
    code, text = nba("attack", "-m", *TINY, "attack=none,unknown", "dry_run=true")
    assert code == 0 and "skipped   attack=unknown  attack=unknown is for models from elsewhere" in text


def test_a_defense_that_does_not_suit_the_victim_is_refused(nba: Run) -> None:
    given = ("defend", "-m", "victim=vit_tiny", "defense=fp,ft", "dry_run=true")
    rows = nba(*given)[1].splitlines()
    assert [row[:10].strip() for row in rows[:2]] == ["refused", "to do"], rows
    assert "defense=fp prunes channels that convolutions put out; this victim is a transformer." in rows[0]
    assert nba(*given, "victim.patch=8", "dataset.size=12")[0] == 2, "that size does not suit the victim"
    assert nba(*given[:-1], "victim.patch=12", "dry_run=true")[0] == 0, "the data set's own size may suit it"


def test_the_networks_of_a_sweep_are_built_once_a_victim(nba: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    usual = room.on_meta

    def counted(victim: Victim, num_classes: int, shape: tuple[int, int, int]) -> Network:
        built.append(victim.label)
        return usual(victim, num_classes, shape)

    monkeypatch.setattr(room, "on_meta", counted)
    room.network_of.cache_clear()
    assert nba("defend", "-m", "victim=wrn_16_1,wrn_16_2", "defense=ft,fp", "seed=0,1", "dry_run=true")[0] == 0
    assert sorted(built) == ["wrn_16_1", "wrn_16_2"]


def test_the_time_is_that_of_runs_on_as_many_threads(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("defend", *TINY, "attack.rate=0.2", "defense=clp", "reference=false")
    assert nba(*given)[0] == 0
    (quick,) = (tmp_path / "runs" / "defend").iterdir()
    slow = json.loads((quick / "metrics.json").read_text())
    slow["made"]["threads"], slow["seconds"]["defense"] = 99, 7200.0
    shutil.copytree(quick, quick.with_name(f"{quick.name}0"))
    (quick.with_name(f"{quick.name}0") / "metrics.json").write_text(json.dumps(with_seal(slow)))
    assert "2.0 h" not in nba(*given, "defense_seed=1", "dry_run=true")[1]
    monkeypatch.setattr("torch.get_num_threads", lambda: 99)
    assert "2.0 h" in nba(*given, "defense_seed=1", "dry_run=true")[1]
    parallel = ("-m", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2")
    assert "to 2.0 h" in nba(*given, "defense_seed=1", "dry_run=true", *parallel)[1], "nobody knows how many each has"


def test_a_single_run_is_one_job_and_false_runs_it(nba: Run, tmp_path: Path) -> None:
    code, text = nba("attack", *TINY, "attack=none", "dry_run=true")
    assert code == 0 and "dry run: 1 job, time unknown" in text and not (tmp_path / "runs").exists()
    assert text.splitlines()[0].endswith(" attack=none"), "the option is no part of the job"
    assert nba("attack", *TINY, "attack=none", "dry_run=false")[0] == 0
    code, text = nba("attack", *TINY, "attack=none", "dry_run=true")
    assert code == 0 and text.splitlines()[-1] == "dry run: 1 job, 1 finished", "the option changes no run's name"
    code, text = nba("attack", *TINY, "attack=none", "dry_run=true", "overwrite=true")
    assert "finished" not in text and "about" in text


def test_experiments(nba: Run, tmp_path: Path) -> None:
    code, text = nba("defend", "+experiment=demo/six_attacks", "dry_run=true", dataset=False)
    assert code == 0 and "dry run: 21 jobs, 3 victims to train first, time unknown" in text
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("evaluate", "run=x", "dry_run=true"), "dry_run: it is for nba attack and nba defend. nba evaluate trains"),
        (("preview", "dry_run=true"), "dry_run: it is for nba attack and nba defend. nba preview trains"),
        (("attack", "-m", "seed=range(2000)", "dry_run=true"), "dry_run=true: the sweep has 2,000 jobs; 1,000 at most"),
        (("attack", "-m", "attack=badnets,typo", "dry_run=true"), "attack=typo: there is no such attack"),
        (("attack", "-m", "attack.rate=0.2,lots", "dry_run=true"), "attack.rate"),
        (("attack", "dry_run=maybe"), "dry_run"),
        (("attack", "-m", "seed=0", "dry_run=true,false"), "dry_run=true,false: it is for a whole command"),
    ],
)
def test_what_has_no_list_is_refused(nba: Run, tmp_path: Path, given: tuple[str, ...], said: str) -> None:
    code, text = nba(*given, dataset=False)
    assert code == 2 and text.splitlines()[-1].startswith(f"nba: {said}"), text
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("given", [("attack.rate=2",), ("-m", "attack.rate=2", "seed=0,1")])
def test_what_is_refused_altogether_is_refused(nba: Run, given: tuple[str, ...]) -> None:
    assert nba("attack", *given)[0] == 2
    code, text = nba("attack", *given, "dry_run=true")
    lines = text.splitlines()
    assert code == 2 and lines[-1].startswith("nba: attack.rate=2"), text
    assert [line[:8] for line in lines[:-1]] == (["refused "] * 2 + ["dry run:"] if "-m" in given else []), text


def test_a_sweep_of_which_a_job_would_be_done_is_not_refused(nba: Run) -> None:
    assert nba("attack", "-m", "attack.rate=2,0.1", "dry_run=true")[0] == 0


def test_a_logger_that_cannot_log_is_refused(nba: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else usual(name))
    code, text = nba("attack", "logger=wandb", "dry_run=true")
    assert code == 2 and text.splitlines()[-1].startswith("nba: logger=wandb: the package wandb is missing"), text


@pytest.mark.parametrize("flag", [("--cfg", "job"), ("--cfg=job",), ("-cjob",), ("--info=config",)])
def test_settings_that_are_asked_for_are_shown(
    nba: Run, monkeypatch: pytest.MonkeyPatch, flag: tuple[str, ...]
) -> None:
    # --info has Hydra log to this test's output, which later tests do not have
    monkeypatch.setattr(logging.getLogger(), "handlers", list(logging.getLogger().handlers))
    monkeypatch.setattr(logging.getLogger(), "level", logging.getLogger().level)
    code, text = nba("attack", "attack.rate=0.25", "dry_run=true", *flag)
    assert code == 0 and "rate: 0.25" in text and "dry run:" not in text, text


@pytest.mark.parametrize("name", ["Ä", 'a "b', "a'b,c", "a\\b"])
def test_configs_of_the_users_own_lie_in_any_folder(nba: Run, tmp_path: Path, name: str) -> None:
    own = tmp_path / name / "attack"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("defaults:\n  - badnets\n  - _self_\nrate: 0.25\n")
    given = ("attack", "--config-dir", str(own.parent), "attack=mine")
    code, text = nba(*given, "dry_run=true")
    assert code == 0 and text.startswith("to do "), text
    code, text = nba(*given, "--help")
    assert code == 0 and "0.25" in text, text


def test_in_a_file_it_would_be_overlooked(nba: Run, tmp_path: Path) -> None:
    own = tmp_path / "conf" / "experiment"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# @package _global_\ndry_run: true\n")
    code, text = nba("attack", f"--config-dir={own.parent}", "+experiment=mine", *TINY, "attack=none")
    assert code == 2 and text.splitlines()[-1] == "nba: dry_run=true: give it on the command line, not in a file."


def test_the_same_line_heads_the_sweep_and_stays_for_others_to_see(nba: Run) -> None:
    code, text = nba(*SWEEP[:-1], "defense=ft", "seed=0")
    assert code == 0 and text.startswith("sweep: 1 job, 1 victim to train first, time unknown: no run like these")
    code, text = nba(*SWEEP[:-1], "defense=ft", "seed=0")
    assert code == 0 and text.startswith("sweep: 1 job, 1 finished\n")


def test_an_estimate_that_fails_stops_no_sweep(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Console
) -> None:
    began: list[int] = []
    monkeypatch.setitem(TASKS, "attack", lambda cfg: began.append(cfg.seed))

    def stumble(*_: object) -> None:
        raise ZeroDivisionError("of an estimate")

    monkeypatch.setattr(Experience, "look", stumble)
    code, _ = nba("attack", "-m", *TINY, "seed=0,1")
    told = " ".join(terminal.export_text().split())
    assert code == 0 and began == [0, 1]
    assert "sweep: 2 jobs; how long it takes cannot be told (ZeroDivisionError: of an estimate)" in told
    journal = Journal(tmp_path / "sweep")
    journal.open("attack", ["seed=0,1"], [], 2)
    view = SweepView(journal, 2, parallel=False, outlook=Outlook([], tmp_path))
    view.look()
    view.look()
    journal.close()
    told = " ".join(terminal.export_text().split())
    assert told.count("sweep: how long it takes cannot be told (ZeroDivisionError: of an estimate)") == 1


def test_completion_and_help_know_it(nba: Run) -> None:
    assert "dry_run=" in words("nba defend dry")
    assert "dry_run" in nba("attack", "--help", dataset=False)[1]
