"""A data set that a small network learns in seconds, and the command line as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nba_cli import cli
from nba_cli.data import Data

torch.set_num_threads(2)


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
