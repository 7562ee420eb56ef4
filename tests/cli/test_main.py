"""The command line: help, versions, refusals, defects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run
from running import NBA, SHORT

import nba_cli
from nba_cli.cli import doctor, main


def test_help_lists_commands_without_torch() -> None:
    code = (
        "import sys; sys.argv=['nba','--help']; from nba_cli.cli.main import main; main(); "
        "sys.exit('torch' in sys.modules)"
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


REFUSED = [
    ("attack", ["-m", "seed=1,2", "--cfg", "job"], "--multirun and --cfg exclude each other."),
    ("attack", ["atack=blend"], "atack: there is no option 'atack'. Did you mean 'attack'?"),
    ("attack", ["attack=bledn"], "attack=bledn: there is no such attack. Did you mean 'blend'?"),
    ("defend", ["defense=nbaa"], "defense=nbaa: there is no such defense. Did you mean 'nba'?"),
    ("attack", ["attack.rat=0.2"], "attack.rat: there is no option 'rat' in attack (badnets). Did you mean 'rate'?"),
    ("attack", ["+attack.typo=1"], "+attack.typo: there is no such option."),
    ("attack", ["+seeed=1"], "+seeed: there is no such option. Did you mean 'seed'?"),
    ("attack", ["+attack.version=7"], "+attack.version: there is no such option."),
    ("attack", ["attack.rate=lots"], "attack.rate=lots: 'lots' is not a number."),
    ("attack", ["seed=1.5"], "seed=1.5: '1.5' is not a whole number."),
    ("attack", ["reference=perhaps"], "reference=perhaps: 'perhaps' is not true or false."),
    ("attack", ["experiment=demo"], "experiment: it is added by a plus: +experiment=… Choose from: all2one, "),
    ("defend", ["defense=selected/nba"], "no such defense. Did you mean 'selected/nad'?"),
    ("attack", ["attack.rate=1.5"], "attack.rate=1.5: a poison rate lies in (0,1]"),
    ("attack", ["attack.rate=0.9"], "asks for 216 poisoned images, but only 160"),
    ("defend", ["attack.rate=0.9"], "asks for 216 poisoned images, but only 160"),
    ("attack", ["attack.target=3"], "attack.target=3: the data set has classes 0 to 2."),
    ("attack", ["train.steps=5"], "train.epochs=20.0, train.steps=5: give one length and set the other to null"),
    ("attack", ["train.epochs=0"], "train.epochs=0: must be above 0."),
    ("attack", ["train.epochs=inf"], "train.epochs=inf: a number has to be finite."),
    ("attack", ["train.epochs=1e300"], "train.epochs=1e+300: must lie between -3e38 and 3e38."),
    ("attack", ["train.epochs=1e30"], "train.epochs=1e+30: must be at most 1e+12."),
    ("attack", ["train.epochs=null", "train.steps=-2"], "train.steps=-2: must be above 0."),
    ("attack", ["train.batch=0"], "train.batch=0: must be above 0."),
    ("attack", ["train.lr=nan"], "train.lr=nan: a number has to be finite."),
    ("defend", ["defense.beta=inf"], "defense.beta=inf: a number has to be finite."),
    ("attack", ["attack=sig", "attack.delta=nan"], "attack.delta=nan: a number has to be finite."),
    ("attack", ["victim.std=[1,nan,1]"], "victim.std=[1.0,nan,1.0]: a number has to be finite."),
    ("attack", ["train.clip=-1"], "train.clip=-1: must be above 0."),
    ("attack", ["train.decay=-0.1"], "train.decay=-0.1: must be 0 or more."),
    ("attack", ["train.schedule=drop"], "train.schedule=drop, train.drops=[]: drops are shares"),
    ("attack", ["train.momentum=1"], "train.momentum=1: must lie in [0,1)."),
    ("defend", ["defense.student.lr=0"], "defense.student.lr=0: must be above 0."),
    ("defend", ["defense.beta=-1"], "defense.beta=-1: must be 0 or more."),
    ("defend", ["defense=nad", "defense.weights=[1,-2]"], "defense.weights=[1.0, -2.0]: must be 0 or more."),
    ("attack", ["attack=3"], "attack=3: there is no such attack. Choose from: badnets, "),
    ("attack", ["attack=[badnets,blend]"], "attack=[badnets,blend]: there is no such attack."),
    ("attack", ["attack=null"], "attack=null: there is no such attack. Did you mean 'none'?"),
    ("attack", ["~attack"], "~attack: parts are replaced, not deleted. Choose another by attack=… or attack=none."),
    ("attack", ["victim=resnet50"], "no such victim. Did you mean victim=torchvision victim.name=resnet50?"),
    ("attack", ["victim=resnet35"], "there is no such victim. Did you mean 'resnet34'?"),
    ("attack", ["train=null"], "train=null: "),
    ("attack", ["seed=10000000000000000000"], "seed=10000000000000000000: an integer must lie between -2^63 and 2^63"),
    ("attack", ["attack.size=1000000000"], "attack.size=1000000000: must lie in [1,1024]."),
    ("attack", ["attack.size=17"], "attack.size=17 with attack.margin=0: the patch does not fit images of 16x16."),
    ("attack", ["attack=trojan", "attack.margin=12"], "attack.size=5 with attack.margin=12: the patch does not fit"),
    ("attack", ["attack=cl", "attack.size=20"], "attack.size=20 with attack.margin=0: the patch does not fit"),
    ("attack", ["dataset.crop=1000000"], "dataset.crop=1000000: images have 16x16 pixels; a padding must be smaller"),
    (
        "attack",
        ["victim.width=100000"],
        "victim.width=100000: 1,707,520,364,800,467 weights take 20,490,244 GB; there are ",
    ),
    ("attack", ["victim.depth=1000000000"], "victim.depth=1000000000: must lie in [10,1000]."),
    ("attack", ["victim.mean=[1]"], "victim.mean=[1.0]: 3 values are needed, one a channel"),
    ("attack", [f"dataset.path={300 * 'x'}"], "dataset.path=xxxxxxxx"),
    ("evaluate", [f"run={300 * 'x'}"], "run=xxxxxxxx"),
    ("evaluate", ["run="], "run=: nothing is given. Leave the option out, or give it a value."),
    ("attack", ["output="], "output=: nothing is given."),
    ("attack", ['device="cuda:²"'], "device=cuda:²: not a device."),
    ("evaluate", ["run=R", "device=${seed}"], "device: Interpolation key 'seed' not found"),
    ("evaluate", ["run=R", "attack.target=1"], "attack.target: no attack is chosen here. Add attack=…"),
    ("preview", ["attack.target=1"], "attack.target: no attack is chosen here. Add attack=…"),
    ("attack", ["hydra/launcher=typo"], "hydra/launcher=typo: there is no such launcher."),
    ("defend", ["weights=m.pt", "dataset.reserved=30"], "dataset.reserved=30: nobody knows whether weights=m.pt were"),
    ("evaluate", ["weights=m.pt", "dataset.reserved=30", "victim=wrn_16_1"], "dataset.reserved=30: nobody knows"),
    ("defend", ["trigger=x.safetensors"], "trigger=x.safetensors: it goes with weights=FILE."),
    ("attack", ["dataset.path=???"], "dataset.path has no value. Add dataset.path=…"),
    ("attack", ["device=cuda:7"], "device=cuda:7: this machine has"),
    ("attack", ["dataset.path=absent.npz"], "absent.npz: no such file"),
    ("attack", ["victim.depth=17"], "victim.depth=17: a wide residual network has 6n + 4 layers"),
    ("defend", ["defense.train.lr=1"], "there is no option 'train' in defense (nba)."),
    (
        "defend",
        ["defense.behavior=[respons]"],
        "defense.behavior=[respons]: Invalid value 'respons', expected one of",
    ),
    ("defend", ["dataset.clean_ratio=0"], "dataset.clean_ratio=0.0: a share of the training set lies in (0,1]."),
    ("evaluate", [], "nba evaluate needs either run=FOLDER (a finished run) or weights=FILE"),
    ("evaluate", ["run=nowhere"], "run=nowhere: no finished run lies there."),
    ("evaluate", ["weights=absent", "victim=wrn_16_1"], "weights=absent: no such file."),
    ("evaluate", ["weights=absent"], "weights=absent: no such file."),
    ("attack", ["+refusal=hi"], "+refusal: there is no such option."),
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


def test_what_settings_alone_refuse_leaves_no_folder(nba: Run, tmp_path: Path) -> None:
    assert nba("attack", "attack.rate=1.5")[0] == 2 and not (tmp_path / "runs").exists()


def test_an_unknown_command_is_refused(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nba", "defned"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert capfd.readouterr().err == "nba: defned: there is no such command. Did you mean 'defend'?\n"


def test_a_defect_keeps_its_traceback(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("our mistake")

    monkeypatch.setattr("nba_cli.metrics.backdoor.measure", broken)
    with pytest.raises(ZeroDivisionError):
        nba("attack", *SHORT, "train.epochs=1")
    (log,) = (tmp_path / "runs").rglob("run.log")
    assert "ZeroDivisionError: our mistake" in log.read_text(), "the run's own log has it too"


def test_a_killed_worker_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class TerminatedWorkerError(Exception):
        pass

    def die(arguments: list[str]) -> int:
        raise TerminatedWorkerError("a dump of many lines")

    monkeypatch.setattr(doctor, "main", die)
    assert main.launch("doctor", []) == 1
    assert capsys.readouterr().err.startswith("nba: a worker process was killed")
