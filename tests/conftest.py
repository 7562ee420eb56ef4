"""A data set that a small network learns in seconds, and the command line as a function."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attacks import ATTACKS, Attack, Learned
from attacks.learned import Lesson
from nba_cli import cli, triggers
from nba_cli.data import Data
from nba_cli.victims.wrn import WideResNet

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


def tiny_arrays(train: int = 240, test: int = 90, classes: int = 3, side: int = 16) -> dict[str, np.ndarray]:
    """Class k is noise with a bright band at height k: learnable by a convolution, not by a constant."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        labels = np.arange(count) % classes
        images = random.integers(0, 120, (count, side, side, 3))
        for index, label in enumerate(labels):
            top = 1 + label * (side - 2) // classes
            images[index, top : top + 3] += 110
        arrays |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels.astype(np.uint8)}
    return arrays


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
        code = cli.launch(command, [*given, *arguments])
        captured = capfd.readouterr()
        return code, captured.out + captured.err

    return run


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the data folder or the terminal of whoever runs it."""
    monkeypatch.setenv("NBA_DATA", "/nonexistent")
    monkeypatch.setenv("COLUMNS", "120")


def made(name: str, images: torch.Tensor, **settings: Any) -> Attack:
    """An attack of the registry that can stamp `images` (float [N,C,H,W]); a learned trigger is made in no time."""
    attack = ATTACKS[name](**settings)
    if not isinstance(attack, Learned):
        return attack
    shape = (images.shape[1], images.shape[2], images.shape[3])
    if attack.crafted:
        quick = {"mask_epochs": 1.0} if attack.joint else {"steps": 2}
        attack = ATTACKS[name](**{**quick, **settings})
        assert isinstance(attack, Learned)
        attack.made = attack.learn(lesson(images))
    else:
        attack.made = attack.draw(shape)
    if attack.joint:
        joint = attack.join(shape[0], 3, 0, torch.device("cpu"))
        assert joint is not None
        triggers.adopt(attack, joint[1])
    return attack


def lesson(images: torch.Tensor) -> Lesson:
    """An untrained helper, and all `images` to be poisoned."""
    data = Data((images * 255).round().to(torch.uint8), torch.arange(len(images)) % 3)
    helper = WideResNet(depth=10).build(3, data).eval().requires_grad_(False)
    return Lesson(train=data, index=torch.arange(len(images)), num_classes=3, seed=0, helper=helper)
