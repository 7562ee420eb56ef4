"""Sweeps: what is written down of their jobs, what the parent shows, and what survives."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import rich
import torch
from omegaconf import DictConfig
from rich.console import Console

from nba_cli import app, cli, devices, logs, overview, status, sweeps
from nba_cli.defenses import FT
from nba_cli.sweeps import Job, Journal

Run = Callable[..., tuple[int, str]]
TINY = ("victim.depth=10", "train.epochs=2", "train.batch=40", "dataset.clean_ratio=0.3", "dataset.crop=1")
FT_STEPS = "defense.train.steps=2"


def finished(root: Path, stage: str) -> list[str]:
    return sorted(path.parent.name for path in (root / "runs" / stage).glob("*/metrics.json"))


def boom(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a defect")


def test_a_failed_job_leaves_its_traceback_is_listed_and_the_others_run(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FT, "__call__", boom)
    code, text = nba("defend", "-m", *TINY, "attack.rate=0.2", "defense=ft,none", "defense_seed=0,1")
    assert code == 1 and len(finished(tmp_path, "defend")) == 2
    assert "2 of 4 jobs failed:" in text and "  defense=ft defense_seed=1: ZeroDivisionError: a defect" in text
    logs_ = [line.split("traceback: ")[1] for line in text.splitlines() if "traceback: " in line]
    assert len(logs_) == 2 and all("Traceback" in Path(log).read_text() for log in logs_)
    again = shlex.split(text[text.index("To run just these again:") :].splitlines()[1])
    assert again[:3] == ["nba", "defend", "--multirun"] and "defense=ft" in again and "defense_seed=0,1" in again
    monkeypatch.undo()
    stamp = [path.stat().st_mtime_ns for path in (tmp_path / "runs/defend").glob("*/metrics.json")]
    code, text = nba(*again[1:], FT_STEPS, dataset=False)
    assert code == 0 and "jobs failed" not in text and len(finished(tmp_path, "defend")) == 4
    assert set(stamp) <= {path.stat().st_mtime_ns for path in (tmp_path / "runs/defend").glob("*/metrics.json")}


def test_a_sweep_whose_jobs_all_finished_leaves_runs_and_nothing_else(nba: Run, tmp_path: Path) -> None:
    code, text = nba("attack", "-m", *TINY, "seed=0,1", "attack=none")
    assert code == 0 and "job 2 of 2: seed=1" in text
    assert not list((tmp_path / "runs" / ".sweeps").iterdir())


def test_a_failed_trial_has_no_score(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna counts None as a failed trial and goes on; it stops at a NaN."""
    scores: list[object] = []

    def watched(cfg: DictConfig) -> object:
        scores.append(app.defend(cfg))
        return scores[-1]

    monkeypatch.setitem(app.TASKS, "defend", watched)
    steps = "defense.train.steps=2,0"
    assert nba("defend", "-m", *TINY, "attack.rate=0.2", "defense=ft", "tune=true", steps)[0] == 2
    assert isinstance(scores[0], float) and 0 < scores[0] <= 1 and scores[1] is None


def test_one_process_of_a_parallel_launcher_is_not_left_silent(nba: Run, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ("hydra/launcher=parallel", "hydra.launcher.n_jobs=1")
    code, text = nba("attack", "-m", *TINY, *launcher, "attack=none", "seed=0,1")
    assert code == 0 and "side by side" in text and not logs.console().quiet


def test_a_sweep_refused_before_its_first_job_leaves_no_journal(nba: Run, tmp_path: Path) -> None:
    code, text = nba("attack", "-m", *TINY, "attack=badnets,typo")
    assert code == 2 and "there is no such attack" in text
    assert not (tmp_path / "runs" / ".sweeps").exists() or not list((tmp_path / "runs" / ".sweeps").iterdir())


def test_bad_input_alone_exits_with_2_and_says_how_to_go_on(nba: Run, tmp_path: Path) -> None:
    code, text = nba("attack", "-m", *TINY, "attack.rate=0.2,7")
    assert code == 2 and "  attack.rate=7: attack.rate=7.0: a poison rate lies in (0,1]" in text
    assert "To run just these again" not in text and not list((tmp_path / "runs" / ".sweeps").iterdir())
    assert len(finished(tmp_path, "attack")) == 1 and not (tmp_path / "runs" / ".refused").exists()


def test_options_of_a_swept_part_are_for_its_choices(nba: Run, tmp_path: Path) -> None:
    """Hydra alone would look for `train` in the default defense, which has none."""
    code, text = nba("defend", "-m", *TINY, "attack.rate=0.2", "defense=ft,ftsam", "defense.train.steps=2")
    assert code == 0 and len(finished(tmp_path, "defend")) == 2, text
    words = ["defense=ft,nad", "defense.a=[1,2]", "defense.b=x", "defense.c=1,2", "attack.rate=0.2", "seed=range(3)"]
    assert cli.later(words) == [
        "defense=ft,nad",
        "defense.a=choice([1,2])",
        "defense.b=choice(x)",
        "defense.c=1,2",
        "attack.rate=0.2",
        "seed=range(3)",
    ]
    assert cli.later(["attack=glob(*)", "attack.rate=0.2"]) == ["attack=glob(*)", "attack.rate=choice(0.2)"]


def test_a_sweep_over_all_attacks_skips_the_unknown_one(nba: Run, tmp_path: Path) -> None:
    code, _ = nba("attack", "-m", *TINY, "attack=none,unknown")
    assert len(list((tmp_path / "runs" / "attack").iterdir())) == 1, "the skipped job leaves no folder"
    assert code == 0 and [name.split("-")[2] for name in finished(tmp_path, "attack")] == ["none"]


def test_the_same_sweep_again_does_nothing_twice(nba: Run, tmp_path: Path) -> None:
    arguments = ("defend", "-m", *TINY, "attack.rate=0.2", "defense=ft", FT_STEPS, "defense_seed=0,1")
    assert nba(*arguments)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    code, text = nba(*arguments)
    assert code == 0 and text.count("already finished") == 2
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert {path: after[path] for path in before if ".locks" not in str(path)} == {
        path: stamp for path, stamp in before.items() if ".locks" not in str(path)
    }


def jobs(*lists: str) -> list[Job]:
    return [Job(number=k, overrides=words.split()) for k, words in enumerate(lists)]


def test_commands_are_one_sweep_where_the_jobs_are_a_product() -> None:
    every = jobs("a=1 b=x", "a=1 b=y", "a=2 b=x", "a=2 b=y")
    assert sweeps.commands("defend", every) == ["nba defend --multirun a=1,2 b=x,y"]
    assert sweeps.commands("defend", every[:3]) == [f"nba defend {' '.join(job.overrides)}" for job in every[:3]]
    assert sweeps.commands("attack", jobs("a=[1,2]")) == ["nba attack 'a=[1,2]'"]
    launcher = ["hydra/launcher=parallel"]
    assert sweeps.commands("attack", jobs("a=1", "a=2"), launcher) == [
        "nba attack --multirun hydra/launcher=parallel a=1,2"
    ]
    tuned = ["hydra/sweeper=tune", "hydra.sweeper.n_trials=9"]
    assert sweeps.commands("attack", jobs("a=1", "a=2"), tuned) == ["nba attack --multirun a=1,2"]
    assert sweeps.commands("attack", jobs("a=1"), launcher) == ["nba attack a=1"], "one job needs no launcher"


def test_journal_keeps_jobs_and_forgets_older_journals_of_the_same_command(tmp_path: Path) -> None:
    old, other, new = (Journal(tmp_path / name) for name in ("1-old", "2-other", "3-new"))
    old.open("attack", ["seed=0,1"], [["seed=0", "x=1"], ["seed=1", "x=1"]], 2)
    job = old.job(1, ["seed=1", "x=1"])
    assert job.label == "seed=1"
    job.state = "failed"
    old.note(job)
    old.close()
    other.open("attack", ["seed=7"], [], None)
    assert old.folder.is_dir() and other.job(0, ["seed=7"]).label == "seed=7"
    new.open("attack", ["seed=0,1"], [], 2)
    assert not old.folder.exists() and other.alive() and other.folder.is_dir()
    assert [journal.folder.name for journal in sweeps.journals(tmp_path)] == ["2-other", "3-new"]
    new.note(Job(number=3, overrides=[], state="finished"))
    new.note(Job(number=10, overrides=[], state="finished"))
    assert [each.number for each in new.jobs()] == [3, 10] and [each.number for each in new.jobs(known=[3])] == [10]
    new.close()
    assert not new.folder.exists(), "all finished: nothing to remember"


def test_what_a_sweeper_chose_is_shown_and_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path / "tuned")
    journal.open("defend", ["tune=true"], [], 1)
    journal.note(Job(number=0, overrides=[], state="finished"))
    choice = journal.folder / "optimization_results.yaml"  # as the Optuna sweeper names it
    choice.write_text("best_params:\n  defense.beta: 1.5\n")
    logs.setup()
    assert overview.conclude(journal, []) == 0
    journal.close()
    assert f"{choice}:\n  best_params:\n    defense.beta: 1.5" in capfd.readouterr().out
    assert [path.name for path in journal.folder.iterdir()] == [choice.name] and sweeps.journals(tmp_path) == []


def test_time_left_counts_only_jobs_that_had_something_to_do() -> None:
    ended = [Job(number=k, overrides=[], seconds=seconds) for k, seconds in enumerate((0.1, 0.2, 60.0, 120.0))]
    assert overview.remaining(ended, 2, 10) == 90 * 6 / 2
    assert overview.remaining(ended[:2], 1, 10) is None and overview.remaining(ended, 0, None) is None
    assert [overview.clock(each) for each in (45, 600, 7200)] == ["45 s", "10 min", "2.0 h"]


def test_one_bar_over_all_jobs_on_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    console = Console(force_terminal=True, width=100, record=True, force_interactive=True)
    monkeypatch.setattr(rich, "_console", console)
    logs.setup()
    journal = Journal(tmp_path / "sweep")
    journal.open("attack", ["seed=0,1,2"], [], 3)
    view = overview.Overview(journal, 3, parallel=True)
    view.start()
    journal.note(Job(number=0, overrides=[], label="seed=0", state="finished", seconds=4.0))
    journal.note(Job(number=1, overrides=[], label="seed=1", state="failed", why="ZeroDivisionError: x", seconds=2.0))
    journal.note(Job(number=2, overrides=[], label="seed=2"))
    view.stop()
    text = console.export_text()
    assert "finished  seed=0  4 s" in text and "failed    seed=1  ZeroDivisionError: x" in text
    last = text.splitlines()[-1]
    assert "all jobs" in last and "2/3" in last and "1 running, 1 failed, about 3 s left" in last


def test_a_job_of_other_processes_prints_nothing_itself(tmp_path: Path) -> None:
    target = {"launcher": {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}}
    from omegaconf import OmegaConf

    assert not app.is_parallel(OmegaConf.create(target))
    assert app.is_parallel(OmegaConf.create({"launcher": {"_target_": "x.JoblibLauncher"}}))


def test_parallel_jobs_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [devices.spread(number) for number in range(4)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert devices.spread(3) == "auto"


def test_status_shows_a_sweep_from_another_shell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path / ".sweeps" / "now")
    journal.open("attack", ["seed=0,1,2"], [], 3)
    journal.note(Job(number=0, overrides=[], state="finished", seconds=30.0))
    journal.note(Job(number=1, overrides=[], state="running", folder=str(tmp_path / "attack" / "gone")))
    logs.setup()
    status.show(tmp_path)
    text = capfd.readouterr().out
    assert "sweep: 1 of 3 done, 0 running, 0 failed, about 60 s left: nba attack --multirun seed=0,1,2" in text
    journal.lock.release()
    status.show(tmp_path)
    assert "over. The same command goes on: nba attack" in capfd.readouterr().out


def test_a_full_disk_fails_in_a_sentence_and_loses_nothing(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from nba_cli import weights

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "model.safetensors")

    assert nba("attack", *TINY, "attack=none")[0] == 0
    monkeypatch.setattr(weights, "save", full)
    code, text = nba("attack", "-m", *TINY, "attack=none", "seed=0,1")
    assert code == 1 and "seed=1: model.safetensors: No space left on device." in text
    assert len(finished(tmp_path, "attack")) == 1


COMMAND = [sys.executable, "-c", "from nba_cli.cli import main; main()"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["parallel", "processes"])
def test_parallel_launchers_train_a_victim_once_and_end_like_the_basic_one(
    launcher: str, tmp_path: Path, tiny_file: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs nba-cli[sweep]")
    data = ["dataset=npz", f"dataset.path={tiny_file}", "reference=false", *TINY, "attack.rate=0.2"]
    sweep = ["defend", "--multirun", *data, "defense=none,ft", "defense_seed=0,1"]

    def figures(root: Path) -> dict:
        return {path.parent.name: json.loads(path.read_text())["figures"] for path in root.glob("*/*/metrics.json")}

    outs = [tmp_path / "basic", tmp_path / launcher]
    extra = [["defense=none,ft"], [f"hydra/launcher={launcher}"]]
    for out, more in zip(outs, extra, strict=True):
        done = subprocess.run(
            [*COMMAND, *sweep, f"output={out}", *more], capture_output=True, text=True, env=None, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("finished  ") == 4 and "victim     step" not in done.stdout, "the parent tells, no job"
    assert figures(outs[0]).keys() == figures(outs[1]).keys() and len(list(outs[1].glob("attack/*"))) == 1
    logs_ = [path.read_text() for path in outs[1].glob("attack/*/run.log")]
    assert sum(log.count("nba attack") for log in logs_) == 1, "one job trained it, the others waited"


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_ends_like_an_undisturbed_one(tmp_path: Path, tiny_file: Path) -> None:
    data = ["dataset=npz", f"dataset.path={tiny_file}", "reference=false", *TINY, "attack.rate=0.2", "train.epochs=6"]
    sweep = [*COMMAND, "defend", "--multirun", *data, "defense=ft", "defense.train.steps=20", "seed=0,1"]
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    subprocess.run([*sweep, f"output={undisturbed}"], check=True, capture_output=True)
    for pause in (4.0, 6.0):
        process = subprocess.Popen([*sweep, f"output={killed}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*sweep, f"output={killed}"], check=True, capture_output=True)
    tables = [
        subprocess.run(
            [*COMMAND, "table", f"output={out}", "format=csv", "figures=acc,asr,ra"], capture_output=True, text=True
        ).stdout
        for out in (undisturbed, killed)
    ]
    assert tables[0] == tables[1] and tables[0].count("\n") > 3
    assert not list(killed.glob("*/*/*.part"))


def test_a_launcher_that_is_not_installed_is_named(nba: Run) -> None:
    code, text = nba("attack", "-m", *TINY, "seed=0,1", "hydra/sweeper=tune")
    if "optuna" not in text:
        pytest.skip("the plugin is installed here")
    assert code == 2 and "nba: hydra/sweeper: the plugin optuna is not installed. README" in text


def test_a_killed_worker_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class TerminatedWorkerError(Exception):
        pass

    def die(command: str, arguments: list[str]) -> int:
        raise TerminatedWorkerError("a dump of many lines")

    monkeypatch.setitem(cli.RUNNERS, "doctor", die)
    assert cli.launch("doctor", []) == 1
    assert capsys.readouterr().err.startswith("nba: a worker process was killed")


def test_what_a_sweeper_maximises_is_the_mean_of_acc_and_ra(tmp_path: Path) -> None:
    from nba_cli import app

    for figures, wanted in (({"acc": 0.8, "ra": 0.6}, 0.7), ({"acc": 0.8, "ra": None}, 0.8)):
        (tmp_path / "metrics.json").write_text(json.dumps({"figures": figures}))
        assert app.score(tmp_path) == pytest.approx(wanted)
