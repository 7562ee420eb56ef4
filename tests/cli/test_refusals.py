"""What a user's files, folders, disks and learning rates can do wrong: one line, exit code 2, nothing half-written."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import tiny_arrays
from conftest import Run
from PIL import Image

from nba_cli.cli import main, tasks
from nba_cli.cli.journal import Job
from nba_cli.data import Data
from nba_cli.runs import hydra_errors
from nba_cli.training.checkpoint import read
from nba_cli.victims import WideResNet, weights

SHORT = ("victim.depth=10", "train.epochs=2", "train.batch=40")


def refused(answer: tuple[int, str], *words: str) -> None:
    code, text = answer
    last = text.splitlines()[-1]
    assert code == 2 and last.startswith("nba: ") and "Traceback" not in text
    assert all(word in last for word in words), last


def left(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "runs").rglob("*") if path.is_file() and ".locks" not in path.parts]


def test_a_yaml_file_with_a_syntax_error(nba: Run, tmp_path: Path) -> None:
    (tmp_path / "conf/attack").mkdir(parents=True)
    (tmp_path / "conf/attack/mine.yaml").write_text("defaults:\n  - [unclosed\nrate: : 1\n")
    refused(nba("attack", "--config-dir", str(tmp_path / "conf"), "attack=mine"), "attack/mine.yaml", "line 3")
    assert left(tmp_path) == []


def test_a_yaml_file_with_an_option_that_does_not_exist(nba: Run, tmp_path: Path) -> None:
    (tmp_path / "conf/attack").mkdir(parents=True)
    (tmp_path / "conf/attack/mine.yaml").write_text(
        "defaults:\n  - /hydra/schema/attack/blend@_here_\n  - _self_\nalhpa: 1\n"
    )
    refused(nba("attack", "--config-dir", str(tmp_path / "conf"), "attack=mine"), "attack/mine", "alhpa")


@pytest.mark.parametrize(
    ("stage", "option", "said"),
    [
        ("attack", "dataset.path", "no such file or folder"),
        ("evaluate", "weights", "no such file"),
        ("evaluate", "run", "no finished run lies there"),
    ],
)
def test_what_one_may_not_look_at_is_named_by_its_option(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, option: str, said: str
) -> None:
    """As in a folder of somebody else's. Root ignores permissions, so the error is raised by hand."""
    place, usual = tmp_path / "theirs", Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        if place in path.parents or path == place:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return usual(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    data = ("dataset=npz",) if option == "dataset.path" else ()
    refused(nba(stage, *data, f"{option}={place}", dataset=False), f"{option}={place}: {said}")


def test_a_config_dir_that_is_not_there(nba: Run) -> None:
    refused(nba("attack", "--config-dir", "/nowhere"), "--config-dir /nowhere: no such folder.")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("blend", "blend: settings are written option=value. Did you mean attack=blend?"),
        ("ft,none", "ft,none: settings are written option=value."),
        ("+seed", "+seed: settings are written option=value."),
        ("", "'': settings are written option=value."),
        ("attack=", "attack=: there is no such attack. Choose from: badnets, blend, "),
    ],
)
@pytest.mark.parametrize("sweep", [(), ("--multirun",)])
def test_a_word_without_its_option_or_its_value(nba: Run, word: str, said: str, sweep: tuple[str, ...]) -> None:
    code, text = nba("attack", *sweep, word)
    assert code == 2 and text.startswith(f"nba: {said}") and text.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y_test": None}, ("bad.npz", "y_test is missing")),
        ({"x_train": np.zeros((240, 16), np.uint8)}, ("bad.npz (train)", "shape [240, 16]")),
        ({"x_test": np.zeros((90, 16, 16, 3))}, ("bad.npz (test)", "float64", "uint8")),
        ({"y_test": np.full(90, 7)}, ("test label 7 is outside the training classes 0..2",)),
    ],
)
def test_a_bad_npz(nba: Run, tmp_path: Path, change: dict, words: tuple[str, ...]) -> None:
    arrays = {key: value for key, value in (tiny_arrays() | change).items() if value is not None}
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    refused(nba("attack", "dataset=npz", f"dataset.path={tmp_path}/bad.npz", dataset=False), *words)
    assert left(tmp_path) == []


def test_an_unreadable_image_is_named(nba: Run, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in "ab":
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", (16, 16)).save(folder / "0.png")
    (tmp_path / "set/test/b/0.png").write_text("text")
    answer = nba("attack", "dataset=folder", f"dataset.path={tmp_path}/set", dataset=False)
    refused(answer, f"nba: dataset.path={tmp_path}/set: {tmp_path}/set/test/b/0.png: not a readable image")
    assert left(tmp_path) == []


def test_files_of_a_models_origin_are_named_by_their_options(nba: Run, tmp_path: Path, tiny: Data) -> None:
    file, text = tmp_path / "model.safetensors", tmp_path / "text"
    weights.save(WideResNet(depth=10).build(3, tiny), file)
    text.write_text("text")
    given = (f"weights={file}", "victim=wrn_16_1", "victim.depth=10", "attack=cl", f"trigger={text}")
    for command in ("evaluate", "defend"):
        refused(nba(command, *given), f"nba: trigger={text}: not a readable safetensors file")
        refused(nba(command, *given[:-1], "trigger=gone"), "nba: trigger=gone: no such file")
    other = ("defend", f"weights={file}", "victim=wrn_16_1", "attack=unknown")
    refused(nba(*other), f"nba: weights={file}: ", "tensors do not fit")
    assert left(tmp_path) == []


def test_weights_of_a_run_that_were_changed(nba: Run, tmp_path: Path) -> None:
    assert nba("attack", *SHORT)[0] == 0
    (made,) = (tmp_path / "runs/attack").iterdir()
    (made / "model.safetensors").write_bytes(b"changed")
    refused(nba("evaluate", f"run={made}"), f"nba: run={made}: {made}/model.safetensors: changed since it was written")


def test_a_folder_that_is_this_one(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    monkeypatch.chdir(tmp_path / "set")
    answer = nba("attack", "dataset=folder", "dataset.path=.", dataset=False)
    refused(answer, f"nba: dataset.path=.: {tmp_path}/set/train: no such folder")


def test_a_key_that_is_no_image(nba: Run, tmp_path: Path) -> None:
    key = tmp_path / "key.png"
    key.write_text("text")
    refused(nba("attack", "attack=blend", f"attack.key={key}"), f"nba: attack.key={key}: not a readable image")
    assert left(tmp_path) == []


def test_a_target_that_is_no_class(nba: Run, tmp_path: Path, tiny: Data) -> None:
    """Nothing is ever taken for such a class: an ASR of 0 would look like a clean model."""
    file = tmp_path / "model.safetensors"
    weights.save(WideResNet(depth=10).build(3, tiny), file)
    given = ("victim=wrn_16_1", "victim.depth=10", "attack=badnets", "attack.target=3")
    for answer in (
        nba("attack", *given),
        nba("evaluate", f"weights={file}", *given),
        nba("defend", f"weights={file}", "defense=none", *given),
        nba("preview", *given),
    ):
        refused(answer, "attack.target=3: the data set has classes 0 to 2.")
    assert left(tmp_path) == []
    assert nba("attack", *SHORT, "attack=none")[0] == 0
    (run,) = (tmp_path / "runs/attack").iterdir()
    refused(nba("evaluate", f"run={run}", "attack=badnets", "attack.target=3"), "the data set has classes 0 to 2")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda weight: weight * torch.nan, ("conv1.weight", "infinite or none (NaN)")),
        (lambda weight: weight.abs() / 0, ("conv1.weight", "infinite or none (NaN)")),
        (lambda weight: weight.to(torch.complex64), ("conv1.weight holds torch.complex64", "torch.float32")),
        (lambda weight: (100 * weight).to(torch.int32), ("conv1.weight holds torch.int32", "torch.float32")),
    ],
)
def test_weights_that_are_no_numbers(
    nba: Run, tmp_path: Path, tiny: Data, spoil: Callable[[torch.Tensor], torch.Tensor], words: tuple[str, ...]
) -> None:
    state = WideResNet(depth=10).build(3, tiny).state_dict()
    torch.save(state | {"conv1.weight": spoil(state["conv1.weight"])}, tmp_path / "model.pt")
    given = (f"weights={tmp_path}/model.pt", "victim=wrn_16_1", "victim.depth=10")
    refused(nba("evaluate", *given), "model.pt", *words)
    refused(nba("defend", *given, "defense=none"), "model.pt", *words)
    assert left(tmp_path) == []


def test_weights_that_are_damaged_or_of_another_victim(nba: Run, tmp_path: Path, tiny: Data) -> None:
    file = tmp_path / "model.safetensors"
    weights.save(WideResNet(depth=16).build(3, tiny), file)
    refused(
        nba("evaluate", f"weights={file}", "victim=wrn_16_1", "victim.depth=10"),
        f"nba: weights={file}: ",
        "tensors do not fit",
        "block1.layer.1",
    )
    file.write_bytes(b"damaged")
    for command in (("evaluate",), ("defend", "attack=unknown")):
        refused(nba(*command, f"weights={file}", "victim=wrn_16_1"), f"nba: weights={file}: not a readable safetensors")
    assert left(tmp_path) == []


def test_a_loss_that_explodes_keeps_the_last_good_checkpoint(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(nba("attack", *SHORT, "train.lr=1e30"), "victim: the loss is no longer finite at step 6 of 12")
    assert left(tmp_path) == [], "in the first epoch there is no good checkpoint yet"

    true = torch.nn.functional.cross_entropy
    calls: list[int] = []

    def late(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return true(logits, labels) * (float("nan") if len(calls) > 8 else 1)

    with monkeypatch.context() as patch:
        patch.setattr("nba_cli.training.loop.F.cross_entropy", late)
        refused(nba("attack", *SHORT), "no longer finite at step 12 of 12")
    (checkpoint,) = (tmp_path / "runs").rglob("checkpoint")
    assert read(checkpoint)["step"] == 6
    assert nba("attack", *SHORT)[0] == 0, "goes on from there"


@pytest.mark.parametrize("file", ["checkpoint", "model.safetensors", "metrics.json"])
def test_a_full_disk(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    true = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name != f"{file}.part":
            return true(path, content)
        true(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        refused(nba("attack", *SHORT), f"{file}: No space left on device. Set output=FOLDER")
    assert not [path for path in left(tmp_path) if path.name in ("metrics.json", f"{file}.part")]
    assert nba("attack", *SHORT)[0] == 0, "the same command goes on"


@pytest.mark.parametrize("stage", ["attack", "defend"])
def test_an_output_that_cannot_be_written(nba: Run, tmp_path: Path, stage: str) -> None:
    (tmp_path / "file").write_text("")
    refused(nba(stage, f"output={tmp_path}/file"), f"{tmp_path}/file", "Set output=FOLDER")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_an_output_where_no_folder_can_be_made(nba: Run) -> None:
    refused(nba("attack", "output=/proc/nba"), "/proc/nba", "Set output=FOLDER")


def test_a_full_gpu_is_the_machines_and_may_have_room_another_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
    line = hydra_errors.stopped(full)
    assert line is not None and "train.batch=" in line and "fewer jobs" in line
    assert hydra_errors.stopped(type("OutOfMemoryError", (Exception,), {})()) is None, "of a launcher, it is no GPU's"
    job = tasks._failed(Job(number=0, overrides=["seed=1"], label="seed=1"), full)
    assert (job.end, job.why, job.trace) == ("failed", line, None), "so that it is among those to run again"

    def fail(*_: object) -> int:
        raise full

    monkeypatch.setattr(main, "run", fail)
    assert main.attempt("attack", []) == 1 and capsys.readouterr().err == f"nba: {line}\n"


def test_a_missing_file_of_ours_is_a_defect() -> None:
    try:
        Path("/nonexistent").read_text()
    except FileNotFoundError as error:
        assert hydra_errors.one_line(error) is None
