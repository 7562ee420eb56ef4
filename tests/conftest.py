"""Fixtures: the tiny data set, a working backdoor, the command line as a function."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rich
import torch
from backdoorbench import Elsewhere, attack_result
from builders import ATTACK, tiny_arrays, tiny_data
from records import HOSTILE, put
from rich.console import Console
from running import results

from attacks import poison, poisoned_index
from nba_cli.cli import main
from nba_cli.data import Augment, Cifar10, Data
from nba_cli.defenses import NBA
from nba_cli.metrics import measure
from nba_cli.pipeline import cleaning
from nba_cli.reports.composition import compose
from nba_cli.reports.request import Request
from nba_cli.seeds import generator
from nba_cli.training import Plan, fit
from nba_cli.victims import Network, WideResNet

if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several processes would wait for each other; theirs, too
    os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, **tiny_arrays())  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="session")
def tiny() -> Data:
    arrays = tiny_arrays()
    images = torch.from_numpy(arrays["x_train"]).permute(0, 3, 1, 2).contiguous()
    return Data(images, torch.from_numpy(arrays["y_train"]).long())


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def nba(capfd: pytest.CaptureFixture[str], tiny_file: Path, tmp_path: Path) -> Run:
    """`nba(command, *arguments)` -> (exit code, everything printed), on the tiny data set, under tmp_path/runs."""

    def run(command: str, *arguments: str, dataset: bool = True) -> tuple[int, str]:
        given = [f"output={tmp_path}/runs", *(["dataset=npz", f"dataset.path={tiny_file}"] if dataset else [])]
        given += ["reference=false"] if command in ("attack", "defend") else []  # a second victim only where asked for
        capfd.readouterr()
        code = main.launch(command, [*given, *arguments])
        captured = capfd.readouterr()
        return code, captured.out + captured.err

    return run


Trained = Callable[..., Path]


@pytest.fixture(scope="session")
def ready() -> dict[tuple[str | bool, ...], Path]:
    """The folders of runs that a process has made for `trained`."""
    return {}


@pytest.fixture
def trained(
    nba: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, ready: dict[tuple[str | bool, ...], Path]
) -> Trained:
    """`trained(*words)`: the folder of `nba attack *words` under tmp_path/runs, trained once a process and copied."""

    def run(*words: str, dataset: bool = True) -> Path:
        if (*words, dataset) not in ready:
            kept = tmp_path_factory.mktemp("trained")
            code, text = nba("attack", *words, f"output={kept}/runs", dataset=dataset)
            assert code == 0, text
            ready[*words, dataset] = kept
        kept = ready[*words, dataset]
        shutil.copytree(kept / "runs", tmp_path / "runs", dirs_exist_ok=True)
        (made,) = results(kept, "attack")
        return tmp_path / "runs/attack" / made.name

    return run


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> NBA:
    """NBA of 20 steps a phase, to which equal budgets are equal here: those of the whole take 20 seconds."""
    whole = NBA()
    short = replace(whole, teacher=replace(whole.teacher, steps=20), student=replace(whole.student, steps=20))
    monkeypatch.setattr(cleaning, "NBA", lambda: short)
    return short


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or fills the data folder or the cache, or reads the terminal, of whoever runs it, and torch's
    own generator is the same at the start of each.
    """
    torch.manual_seed(0)
    monkeypatch.setenv("NBA_DATA", str(tmp_path / "nba_data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="module")
def victim(tiny: Data) -> Network:
    poisoned = poison(ATTACK, tiny, poisoned_index(ATTACK, tiny, 3, seed=0), 3, seed=0)
    network = fit(
        WideResNet(depth=10).build(3, tiny),
        poisoned,
        Plan(epochs=12, batch=40, lr=0.1),
        augment=Augment(crop=1, flip=True),
        generator=generator(0, "train"),
    )
    figures = measure(network, tiny, ATTACK, 3)
    assert figures["acc"] > 0.95 and figures["asr"] > 0.9, "the fixture is a working backdoor"  # type: ignore[operator]
    return network  # type: ignore[return-value]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A console that is a terminal of 80 columns and remembers."""
    console = Console(force_terminal=True, width=80, record=True, force_interactive=True)
    monkeypatch.setattr(rich, "_console", console)
    return console


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three seeds: nba is better than ft in ASR beyond doubt, in ACC by luck; badnets lacks nba."""
    for seed in range(3):
        put(tmp_path, f"n{seed}", "blend", "none", seed, (0.90, 1.0, 0.0))
        put(tmp_path, f"f{seed}", "blend", "ft", seed, (0.86 + 0.01 * seed, 0.30 + 0.01 * seed, 0.4))
        put(tmp_path, f"b{seed}", "blend", "nba", seed, (0.88 - 0.005 * seed, 0.02, 0.8))
        put(tmp_path, f"g{seed}", "badnets", "ft", seed, (0.85, 0.9, 0.1))
    return tmp_path


@pytest.fixture
def hostile(tmp_path: Path) -> tuple:
    """A table whose every text is somebody else's."""
    put(tmp_path, "=run", HOSTILE, HOSTILE, 0, (0.9, 0.1, 0.5), commit=HOSTILE)
    lines = f"{HOSTILE}\n# injected"
    return compose(Request(output=str(tmp_path), title=lines, command=lines), {})


@pytest.fixture(scope="module")
def public_state() -> dict[str, torch.Tensor]:
    """Weights of a small network that bring no normalisation, as public ones."""
    network = WideResNet(depth=10).build(3, tiny_data())
    return {name: value.contiguous() for name, value in network.state_dict().items() if "normalise" not in name}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    """What BackdoorBench leaves behind of an attack on CIFAR-10, which is a tiny one here."""
    arrays = tiny_arrays(train=60, test=40, classes=10, side=32)
    monkeypatch.setattr(Cifar10, "sizes", (60, 40))
    (tmp_path / "nba_data").mkdir()
    np.savez(tmp_path / "nba_data/cifar10.npz", **arrays)  # type: ignore[arg-type]
    return attack_result(tmp_path / "record/badnet_0_1", arrays)
