"""Sweeps: what is written down of their jobs, what the parent shows, and what survives."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import rich
import torch
from conftest import Run
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf
from records import EMPTY
from rich.console import Console
from running import SHORT, metrics, results

from attacks import BadNets
from nba_cli import console
from nba_cli.cli import composer, launchers, sweep, tasks
from nba_cli.cli.journal import AGENDA, FILE, Job, Journal, journals
from nba_cli.cli.sweep import SweepView
from nba_cli.cli.tasks import TASKS
from nba_cli.cli.words import leave_to_jobs
from nba_cli.console import setup
from nba_cli.data import FashionMini
from nba_cli.defenses import FT
from nba_cli.loggers import Logger, MLflow
from nba_cli.runs import jobs
from nba_cli.runs.settings import AttackRun
from nba_cli.victims import Network, WideResNet, weights


def test_multirun_ends_with_the_runs_side_by_side_and_leaves_nothing_else(nba: Run, tmp_path: Path) -> None:
    code, text = nba("defend", "--multirun", *SHORT, "train.epochs=2", "defense=none,ft")
    assert code == 0 and len(results(tmp_path, "attack")) == 1 and len(results(tmp_path, "defend")) == 2
    assert "job 2 of 2: defense=ft" in text and not list((tmp_path / "runs" / ".sweeps").iterdir())
    table = text[text.index("side by side") :].splitlines()
    assert table[1].split() == ["attack", "defense", "ACC", "ASR", "RA", "DER", "seconds"]
    assert [line.split()[:2] for line in table[2:4]] == [["badnets", "none"], ["badnets", "ft"]]
    none = metrics(next(path for path in results(tmp_path, "defend") if "-none-" in path.name))
    assert none["figures"] == none["before"] and table[2].split()[2] == f"{100 * none['figures']['acc']:.2f}"


def test_a_refused_job_is_named_and_the_rest_of_the_sweep_runs(nba: Run, tmp_path: Path) -> None:
    code, text = nba("attack", "--multirun", *SHORT, "train.epochs=1", "attack.rate=0.95,1.5,0.2")
    assert code == 2 and len(results(tmp_path, "attack")) == 1
    refusals = [line for line in text.splitlines() if line.startswith("refused: ")]
    assert len(refusals) == 2
    assert "attack.rate=0.95 asks for 228" in refusals[0] and "attack.rate=1.5: a poison rate" in refusals[1]
    assert [line.split(": ")[1] for line in refusals] == ["attack.rate=0.95", "attack.rate=1.5"], (
        "what tells jobs apart"
    )
    assert "  attack.rate=1.5: attack.rate=1.5: a poison rate lies in (0,1]" in text, "again in the end"
    assert "To run just these again" not in text and not list((tmp_path / "runs" / ".sweeps").iterdir())
    assert not (tmp_path / "runs/.refused").exists()


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


@pytest.mark.parametrize("way", ["tune=true", "dataset.reserved=30"])
def test_a_failed_trial_has_no_score(nba: Run, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Optuna counts None as a failed trial and goes on; it stops at a NaN."""
    scores: list[object] = []

    def watched(cfg: DictConfig) -> object:
        scores.append(tasks.defend(cfg))
        return scores[-1]

    monkeypatch.setitem(TASKS, "defend", watched)
    steps = "defense.train.steps=2,0"
    assert nba("defend", "-m", *TINY, "attack.rate=0.2", "defense=ft", way, steps)[0] == 2
    assert isinstance(scores[0], float) and 0 < scores[0] <= 1 and scores[1] is None


def test_one_process_of_a_parallel_launcher_is_not_left_silent(nba: Run, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ("hydra/launcher=parallel", "hydra.launcher.n_jobs=1")
    code, text = nba("attack", "-m", *TINY, *launcher, "attack=none", "seed=0,1")
    assert code == 0 and "side by side" in text and not rich.get_console().quiet


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("attack", "attack=badnets,typo"), "attack=typo"),
        (("attack", "attack=badnets,typo", "seed=range(600)"), "attack=typo"),
        (("evaluate", "weights=x.pt", "attack=badnets,typo"), "attack=typo"),
        (("attack", "attack.rate=0.2,lots"), "'lots' is not a number"),
        (("attack", "--config-dir={own}", "attack=badnets,mine"), "mine.yaml"),
    ],
)
def test_a_sweep_refused_before_its_first_job_is_one_line_and_leaves_no_journal(
    nba: Run, tmp_path: Path, given: tuple[str, ...], said: str
) -> None:
    (tmp_path / "own" / "attack").mkdir(parents=True)
    (tmp_path / "own" / "attack" / "mine.yaml").write_text("rate: [")
    stage, *words = (word.replace("{own}", f"{tmp_path}/own") for word in given)
    code, text = nba(stage, "-m", *words)
    assert code == 2 and text.startswith("nba: ") and text.count("\n") == 1 and said in text, text
    assert not list((tmp_path / "runs" / ".sweeps").iterdir()) and not (tmp_path / "runs/attack").exists()


def test_options_of_a_swept_part_are_for_its_choices(nba: Run, tmp_path: Path) -> None:
    """Hydra alone would look for `train` in the default defense, which has none."""
    code, text = nba("defend", "-m", *TINY, "attack.rate=0.2", "defense=ft,ft_nba", "defense.train.steps=2")
    assert code == 0 and len(finished(tmp_path, "defend")) == 2, text
    words = ["defense=ft,nad", "defense.a=[1,2]", "defense.b=x", "defense.c=1,2", "attack.rate=0.2", "seed=range(3)"]
    assert leave_to_jobs(words) == [
        "defense=ft,nad",
        "defense.a=choice([1,2])",
        "defense.b=choice(x)",
        "defense.c=1,2",
        "attack.rate=0.2",
        "seed=range(3)",
    ]
    assert leave_to_jobs(["attack=glob(*)", "attack.rate=0.2"]) == ["attack=glob(*)", "attack.rate=choice(0.2)"]


def test_a_sweep_over_all_attacks_skips_the_unknown_one(nba: Run, tmp_path: Path) -> None:
    code, _ = nba("attack", "-m", *TINY, "attack=none,unknown")
    assert len(list((tmp_path / "runs" / "attack").iterdir())) == 1, "the skipped job leaves no folder"
    assert code == 0 and [name.split("-")[2] for name in finished(tmp_path, "attack")] == ["none"]


def test_the_same_sweep_again_does_nothing_twice(nba: Run, tmp_path: Path) -> None:
    arguments = ("defend", "-m", *TINY, "attack.rate=0.2", "defense=ft", FT_STEPS, "defense_seed=0,1")
    assert nba(*arguments)[0] == 0
    one, two = (metrics(folder)["digests"] for folder in results(tmp_path, "defend"))
    assert one["clean"] == two["clean"] and one["weights"] != two["weights"], "one clean set, two ways to pass it"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    code, text = nba(*arguments)
    assert code == 0 and text.count("already finished") == 2
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert {path: after[path] for path in before if ".locks" not in str(path)} == {
        path: stamp for path, stamp in before.items() if ".locks" not in str(path)
    }


def test_what_a_sweeper_chose_is_shown_and_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path / "tuned")
    journal.open("defend", ["tune=true"], [], 1)
    journal.note(Job(number=0, overrides=[], end="finished"))
    choice = journal.folder / "optimization_results.yaml"  # as the Optuna sweeper names it
    choice.write_text("best_params:\n  defense.beta: 1.5\n")
    console.setup()
    assert sweep.conclude(journal, []) == 0
    journal.close()
    assert f"{choice}:\n  best_params:\n    defense.beta: 1.5" in capfd.readouterr().out
    assert [path.name for path in journal.folder.iterdir()] == [choice.name] and journals(tmp_path) == []


def test_one_bar_over_all_jobs_on_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    console = Console(force_terminal=True, width=100, record=True, force_interactive=True)
    monkeypatch.setattr(rich, "_console", console)
    setup()
    journal = Journal(tmp_path / "sweep")
    journal.open("attack", ["seed=0,1,2"], [], 3)
    view = SweepView(journal, 3, parallel=True)
    view.start()
    journal.note(Job(number=0, overrides=[], label="seed=0", end="finished", seconds=4.0))
    journal.note(Job(number=1, overrides=[], label="seed=1", end="failed", why="ZeroDivisionError: x", seconds=2.0))
    journal.note(Job(number=2, overrides=[], label="seed=2"))
    view.stop()
    text = console.export_text()
    assert "finished  seed=0  4 s" in text and "failed    seed=1  ZeroDivisionError: x" in text
    last = text.splitlines()[-1]
    assert "all jobs" in last and "2/3" in last and "1 running, 1 failed" in last and "left" not in last


RUN = AttackRun(attack=BadNets(), victim=WideResNet(), dataset=FashionMini())


@pytest.mark.parametrize(
    ("launcher", "said"),
    [
        ("hydra._internal.core_plugins.basic_launcher.BasicLauncher", "job 1 of 2: seed=0\nits report\n"),
        ("x.JoblibLauncher", ""),
    ],
)
def test_a_job_of_other_processes_prints_nothing_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], launcher: str, said: str
) -> None:
    console.setup()
    monkeypatch.setattr(rich.get_console(), "quiet", False)
    monkeypatch.setattr(tasks, "typed_run", lambda *_: RUN)
    monkeypatch.setattr(tasks, "perform", lambda *_: rich.print("its report"))
    journal = Journal(tmp_path)
    journal.open("attack", ["seed=0,1"], ["seed"], 2)
    job = {"sweep": {"dir": str(tmp_path)}, "job": {"num": 0}, "overrides": {"task": ["seed=0"]}}
    hydra = OmegaConf.create(job | {"launcher": {"_target_": launcher}, "runtime": {"choices": {}}})
    tasks._job("attack", OmegaConf.create({}), hydra)
    assert capfd.readouterr().out == said
    assert [(each.label, each.end) for each in journal.jobs()] == [("seed=0", "finished")]


def test_a_parallel_job_computes_on_the_gpu_of_its_number_unless_a_device_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[str] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(tasks, "perform", lambda stage, run: used.append(run.device))
    for parallel, device in ((True, "auto"), (True, "cpu"), (False, "auto")):
        tasks._attempt("attack", replace(RUN, device=device), Job(number=3, overrides=[]), parallel)
    assert used == ["cuda:1", "cpu", "auto"]


@pytest.mark.parametrize(
    ("launcher", "batch", "many"),
    [
        ({"_target_": "x.BasicLauncher"}, None, 1),
        ({"_target_": "x.BasicLauncher"}, 4, 1),
        ({"_target_": "x.JoblibLauncher", "n_jobs": 3}, None, 3),
        ({"_target_": "x.JoblibLauncher", "n_jobs": 3}, 2, 2),
        ({"_target_": "x.JoblibLauncher", "n_jobs": -1}, None, 8),
        ({"_target_": "x.JoblibLauncher", "n_jobs": -2}, None, 7),
        ({"_target_": "x.JoblibLauncher", "n_jobs": -100}, None, 1),
        ({"_target_": "x.LocalLauncher"}, None, launchers.MOST_JOBS),
        ({"_target_": "x.LocalLauncher"}, 4, 4),
        ({"_target_": "x.SlurmLauncher"}, None, None),
        ({"_target_": "x.SlurmLauncher"}, 4, None),
    ],
)
def test_how_many_jobs_run_at_once(
    launcher: dict, batch: int | None, many: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert launchers.workers(OmegaConf.create({"launcher": launcher, "sweeper": {"max_batch_size": batch}})) == many


def test_the_address_of_a_logger_reaches_neither_journal_nor_group(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nba status` prints the journal, and others see the group; the screen of whoever typed it has it.

    The folder of the user's own configs is in the commands, which need it, and not in the group.
    """
    monkeypatch.setattr(Logger, "check", lambda self: None)
    groups = list[str | None]()

    def fail(stage: str, run: AttackRun) -> None:
        assert isinstance(run.logger, MLflow)
        groups.append(run.logger.group)
        raise ZeroDivisionError("x")

    monkeypatch.setattr(tasks, "perform", fail)
    logger = ("logger=mlflow", "logger.uri=http://me:secret@host")
    (tmp_path / "own/attack").mkdir(parents=True)
    (tmp_path / "own/attack/mine.yaml").write_text("defaults:\n  - /hydra/schema/attack/badnets@_here_\n  - _self_\n")
    own = ("--config-dir", str(tmp_path / "own"))
    code, text = nba("attack", "-m", *own, "attack=mine", "seed=0", "device=cpu", *logger)
    again = text.split("To run just these again:")[1]
    assert code == 1 and groups[0] is not None and groups[0].endswith("seed=0")
    assert not any(word in groups[0] for word in ("secret", "logger", "output", "device", "config-dir"))
    assert all(word in again for word in (*logger, "=".join(own))), "the command that was typed"
    (left,) = journals(tmp_path / "runs" / ".sweeps")
    said = {file.name: file.read_text() for file in left.folder.iterdir() if file.is_file()}
    assert {FILE, AGENDA} <= said.keys() and not [name for name, text in said.items() if "secret" in text]
    _, shown = nba("status", dataset=False)
    assert "Resume with: nba attack --multirun " in shown and "device=cpu" in shown and "secret" not in shown
    assert "=".join(own) in shown


def test_a_full_disk_fails_in_a_sentence_and_loses_nothing(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    pass

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "model.safetensors")

    assert nba("attack", *TINY, "attack=none")[0] == 0
    monkeypatch.setattr(weights, "save", full)
    code, text = nba("attack", "-m", *TINY, "attack=none", "seed=0,1")
    assert code == 1 and "seed=1: model.safetensors: No space left on device." in text
    assert len(finished(tmp_path, "attack")) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=range(0)"], "seed=range(0): there is nothing in it, so the sweep has no job."),
        (["attack=glob(zzz*)"], "attack=glob(zzz*): there is nothing in it"),
        (["seed=range(0,inf)"], "seed=range(0,inf): this range has no end."),
        (["attack.rate=range(0,1,0.0)"], "attack.rate=range(0,1,0.0): this range has no end."),
        (["output=a,b"], "output=a,b: the runs of a sweep lie in one folder"),
    ],
)
def test_a_sweep_that_cannot_be_done_is_refused(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, text = nba("attack", "-m", *TINY, *words)
    assert code == 2 and text.splitlines()[-1].startswith(f"nba: {said}") and "Traceback" not in text
    assert not list(tmp_path.rglob("metrics.json")) and not list(tmp_path.rglob("sweep.jsonl"))


def test_a_sweep_says_how_many_jobs_it_has_and_begins_with_the_first(nba: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    usual = jobs.Jobs.__getitem__
    monkeypatch.setattr(jobs.Jobs, "__getitem__", lambda self, place: made.append(place) or usual(self, place))

    def enough(cfg: DictConfig) -> None:
        if cfg.seed == 2:
            raise KeyboardInterrupt

    monkeypatch.setitem(TASKS, "attack", enough)
    code, text = nba("attack", "-m", "attack=none", "seed=range(100000)", "victim.width=range(1,11)")
    assert code == 130 and text.startswith("sweep: 1,000,000 jobs\n")
    assert [place for place in made if isinstance(place, int)] == list(range(21)), "the third seed is the 21st job"


def test_what_jobs_return_is_not_held_until_the_sweep_ends(nba: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[JobReturn] = []
    monkeypatch.setattr("hydra.core.utils.JobReturn", lambda: held.append(JobReturn()) or held[-1])
    monkeypatch.setitem(TASKS, "attack", lambda cfg: "folder")
    assert nba("attack", "-m", "attack=none", "seed=0,1")[0] == 0
    assert [each.return_value for each in held] == ["folder", "folder"]
    assert all((each.cfg, each.hydra_cfg, each.overrides) == (None, None, None) for each in held)


def test_an_option_that_one_choice_lacks_refuses_the_jobs_of_that_choice(nba: Run, tmp_path: Path) -> None:
    code, text = nba("defend", "-m", *TINY, "attack.rate=0.2", "defense=clp,ft", "seed=0", FT_STEPS)
    assert code == 2 and [name.split("-")[4] for name in finished(tmp_path, "defend")] == ["ft"]
    assert "refused: defense=clp: defense.train.steps: there is no option 'train' in defense (clp)." in text
    assert text.count("there is no option") == 2, "when its turn has come, and in the end"
    launcher = ("hydra/launcher=parallel", "hydra.launcher.n_jobs=1")
    code, text = nba("defend", "-m", *TINY, "attack.rate=0.2", "defense=clp,ft", "seed=0", FT_STEPS, *launcher)
    assert code == 2 and "refused   defense=clp  defense.train.steps: there is no option" in text


def test_a_launcher_of_one_process_does_not_silence_the_parent(nba: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs the jobs in the parent, whose view looks at the journal meanwhile."""
    quiet: list[bool] = []
    monkeypatch.setattr("nba_cli.cli.tasks.perform", lambda *given: quiet.append(rich.get_console().quiet))
    assert nba("attack", "-m", *TINY, "seed=0,1", "hydra/launcher=parallel", "hydra.launcher.n_jobs=1")[0] == 0
    assert quiet == [False, False]


def test_an_option_that_no_choice_has_refuses_the_sweep(nba: Run, tmp_path: Path) -> None:
    code, text = nba("defend", "-m", *TINY, "defense=clp,none", FT_STEPS)
    assert code == 2 and text.splitlines()[-1].startswith("nba: defense.train.steps: there is no option 'train'")
    assert not list((tmp_path / "runs").rglob("run.log"))


def test_of_a_long_list_so_many_values_are_tried_before_the_first_job(
    nba: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composer, "TRIED", 2)
    monkeypatch.setitem(TASKS, "attack", lambda cfg: "")
    assert nba("attack", "-m", "attack=none", "seed=1,x,2")[0] == 2
    code, text = nba("attack", "-m", "attack=none", "seed=1,2,x")
    assert code == 0 and "Traceback" not in text, "a job of its own says so: here no job says anything"


def test_the_folder_of_all_runs_removed_under_a_sweep(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def remove(cfg: DictConfig) -> None:
        begun.append(cfg.seed)
        shutil.rmtree(cfg.output)

    monkeypatch.setitem(TASKS, "attack", remove)
    code, text = nba("attack", "-m", "attack=none", "seed=range(5)")
    assert (code, text) == (
        1,
        "sweep: 5 jobs, time unknown: no run like these has finished yet\n"
        f"output={tmp_path}/runs: the folder was removed under the running sweep. "
        "Run the command again.\n",
    )
    assert begun == [0]


def test_the_folder_of_a_run_removed_under_it(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = weights.save

    def removed(network: Network, path: Path) -> None:
        shutil.rmtree(tmp_path / "runs")
        usual(network, path)

    monkeypatch.setattr(weights, "save", removed)
    code, text = nba("attack", *TINY, "attack=none")
    assert code == 2 and ": the folder was removed while the run worked in it." in text.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.sweeper.max_batch_size=0"], "hydra.sweeper.max_batch_size=0: 1 or more, or null"),
        (["hydra/launcher=parallel", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0: 1 to 1024 processes, or -1"),
        (
            ["hydra/launcher=parallel", "hydra.launcher.n_jobs=1000000000"],
            "hydra.launcher.n_jobs=1000000000: 1 to 1024",
        ),
        (["hydra/launcher=processes", "hydra.launcher.timeout_min=0"], "hydra.launcher.timeout_min=0: 1 or more."),
        (["hydra/launcher=paralel"], "hydra/launcher=paralel: there is no such launcher. Did you mean 'parallel'?"),
        (["hydra/launcher=ray"], "hydra/launcher: the plugin ray is not installed."),
        (["victim.width=interval(1,2)"], "victim.width=interval(1,2): an interval is for hydra/sweeper=tune"),
        (["attack=badnets,3"], "attack=badnets,3: there is no such attack."),
    ],
)
def test_a_sweep_that_its_launcher_cannot_do(nba: Run, tmp_path: Path, words: list[str], said: str) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs '.[sweep]'")
    code, text = nba("attack", "-m", *TINY, "seed=0,1", *words)
    assert code == 2 and text.splitlines()[-1].startswith(f"nba: {said}") and "Traceback" not in text
    assert not list(tmp_path.rglob("metrics.json")) and not list(tmp_path.rglob("sweep.jsonl"))


def test_a_launcher_that_is_not_installed_is_named(nba: Run) -> None:
    if importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is not None:
        pytest.skip("the plugin is installed here")
    code, text = nba("attack", "-m", *TINY, "seed=0,1", "hydra/sweeper=tune")
    assert code == 2 and "nba: hydra/sweeper: the plugin optuna is not installed. See Sweeps in the README" in text


def test_what_a_sweeper_maximises_is_the_mean_of_acc_and_ra(tmp_path: Path) -> None:
    for figures, wanted in (({"acc": 0.8, "ra": 0.6}, 0.7), ({"acc": 0.8, "ra": None}, 0.8)):
        (tmp_path / "metrics.json").write_text(
            json.dumps(EMPTY | {"stage": "defend", "settings": {}, "figures": {"asr": None} | figures})
        )
        job = Job(number=0, overrides=[], folder=str(tmp_path), end="finished")
        assert tasks.score(job) == pytest.approx(wanted)
        assert tasks.score(replace(job, end="failed")) is None


def test_what_has_no_figures_has_no_score(nba: Run) -> None:
    code, text = nba("preview", "-m", "attack=badnets,blend", "dataset.reserved=30")
    assert code == 0 and text.count("picture: ") == 2
