"""Models that nobody here trained: cleaned with a few images, given back as they came."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import tiny_arrays, tiny_data
from conftest import Run
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file
from torchvision import models

from nba_cli.data import Data, Splits, clean_share
from nba_cli.defenses import NBA
from nba_cli.pipeline.defend_external import changed_predictions, changes_table
from nba_cli.victims import PreActResNet18, Torchvision, WideResNet, external

SHORT = ("defense=ft", "defense.train.steps=3", "defense.train.batch=8")


WRN = ("victim=wrn_16_1", "victim.depth=10")


NAMES = ("a", "b [old]", "c [bold]")  # brackets are no markup


@pytest.fixture
def clean_folder(tmp_path: Path) -> Path:
    arrays = tiny_arrays(train=24)
    for number, (pixels, label) in enumerate(zip(arrays["x_train"], arrays["y_train"], strict=True)):
        folder = tmp_path / "images/clean" / NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


def record(tmp_path: Path) -> tuple[Path, dict]:
    (file,) = (tmp_path / "runs/defend").glob("*/metrics.json")
    return file.parent, json.loads(file.read_text())


def test_a_torchvision_state_dict_and_a_clean_folder(nba: Run, tmp_path: Path, clean_folder: Path) -> None:
    file = tmp_path / "suspect.pt"
    torch.save(models.resnet18(num_classes=3).state_dict(), file)
    data = ("dataset=folder", f"dataset.path={clean_folder}", "dataset.size=32")
    given = (f"weights={file}", "victim=torchvision", "victim.name=resnet18", *data, *SHORT)
    code, text = nba("defend", *given, dataset=False)
    assert code == 0, text
    out, found = record(tmp_path)
    assert found["counts"] == {"train": 18, "test": 6, "clean": 18}, "a hold-out of 30 %, rounded per class"
    assert found["before"]["acc"] is not None and found["figures"]["asr"] is None and found["der"] is None
    assert found["settings"]["attack"]["kind"] == "unknown", "nobody said which trigger it knows"
    changed = sum(each["count"] for each in found["changed"])
    assert f"{changed} of 6 predictions changed" in text
    assert "a hold-out of 6 images" in text and "holds no normalisation" in text
    cleaned = torch.load(out / "cleaned.pt", weights_only=True)
    before = torch.load(file, weights_only=True)
    assert cleaned.keys() == before.keys() and not torch.equal(cleaned["conv1.weight"], before["conv1.weight"])
    models.resnet18(num_classes=3).load_state_dict(cleaned)
    code, text = nba("defend", *given, dataset=False)
    assert code == 0 and "already finished" in text
    assert not (tmp_path / "runs/attack").exists(), "no victim is trained"


def test_safetensors_come_back_as_safetensors(
    nba: Run, tmp_path: Path, tiny: Data, public_state: dict[str, torch.Tensor]
) -> None:
    save_file(public_state, tmp_path / "in.safetensors")
    code, text = nba("defend", f"weights={tmp_path}/in.safetensors", *WRN, *SHORT, "dataset.clean_seed=2")
    assert code == 0, text
    out, found = record(tmp_path)
    assert load_file(out / "cleaned.safetensors").keys() == public_state.keys()
    assert found["counts"]["clean"] == 12 and found["counts"]["test"] == 90, "a set with a test part is used as ever"
    assert found["digests"]["clean"] == clean_share(tiny, 0.05, 2).digest()
    assert nba("evaluate", f"run={out}", dataset=False)[0] == 0, "the result is a run like others"


def test_backdoorbenchs_result_names_its_victim_and_classes(nba: Run, tmp_path: Path) -> None:
    network = PreActResNet18().build(3, tiny_data())
    inner = {name: value for name, value in network.state_dict().items() if "normalise" not in name}
    arrays = {
        "x": np.zeros((2, 4), np.float32),
        "index": np.arange(2),
        "share": np.float64(0.5),
        "flag": np.array([True]),
    }
    payload = {"model_name": "preactresnet18", "num_classes": 3, "model": inner, "img_size": (32, 32, 3),
               "bd_train": arrays, "bd_test": arrays}  # fmt: skip
    torch.save(payload, tmp_path / "attack_result.pt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "attack_result.pt", weights_only=True)
    brief = ("defense=clp", "attack=unknown")
    code, text = nba("defend", f"weights={tmp_path}/attack_result.pt", *brief)
    assert code == 0, text
    out, found = record(tmp_path)
    assert found["victim_label"] == "preact_resnet18" and "preact_resnet18" in out.name
    with torch.serialization.safe_globals(external.numpy_reconstruction()):
        again = torch.load(out / "cleaned.pt", weights_only=True)
    assert again["model"].keys() == inner.keys() and np.array_equal(again["bd_train"]["index"], arrays["index"])
    torch.save(payload | {"num_classes": 7}, tmp_path / "seven.pt")
    code, text = nba("defend", f"weights={tmp_path}/seven.pt", *brief)
    assert code == 2 and "a model of 7 classes, but dataset=npz has 3" in text


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize(
    "wrap", [lambda bomb: bomb, lambda bomb: {"model": bomb}, lambda bomb: np.array([bomb], object)]
)
def test_nothing_in_a_malicious_pickle_runs(nba: Run, tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    mark = tmp_path / "ran"
    torch.save({"state_dict": {}, "more": wrap(Malicious(mark))}, tmp_path / "bad.pt")
    code, text = nba("defend", f"weights={tmp_path}/bad.pt", *WRN, *SHORT)
    assert code == 2 and "reading it would run its code. Convert it" in text and text.count("\n") == 1
    assert not mark.exists()
    torch.load(tmp_path / "bad.pt", weights_only=False)
    assert mark.exists(), "the bomb is a real one"


def test_backdoorbenchs_other_names_mean_torchvisions_networks(
    nba: Run, tmp_path: Path, public_state: dict[str, torch.Tensor]
) -> None:
    """Its MobileNetV2 has our tensors' shapes and other strides: taken for ours, it would load and be wrong."""
    for name in ("resnet18", "mobilenet_v2", "vgg19_bn"):
        torch.save({"model_name": name, "model": {"a": torch.ones(1)}}, tmp_path / "named.pt")
        assert external.read(tmp_path / "named.pt").origin.victim == Torchvision(name=name)
    net = models.mobilenet_v2(num_classes=3)
    torch.save({"model_name": "mobilenet_v2", "num_classes": 3, "model": net.state_dict()}, tmp_path / "mobile.pt")
    code, text = nba("defend", f"weights={tmp_path}/mobile.pt", "defense=clp", "attack=unknown")
    assert code == 0 and record(tmp_path)[1]["victim_label"] == "torchvision_mobilenet_v2", text
    torch.save({"model_name": "own_net", "model": public_state}, tmp_path / "own.pt")
    code, text = nba("defend", f"weights={tmp_path}/own.pt", *WRN, "defense=none", "attack=unknown")
    assert code == 0 and "its model_name=own_net is unknown; using victim=… instead" in text


def test_names_that_do_not_fit_are_named(nba: Run, tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.ones(1), "conv1.weight": torch.ones(2)}, tmp_path / "other.pt")
    code, text = nba("defend", f"weights={tmp_path}/other.pt", *WRN, *SHORT)
    assert code == 2 and "tensors do not fit wrn_10_1 (block1" in text and text.count("\n") <= 2


def test_normalisation_from_outside(nba: Run, tmp_path: Path, public_state: dict[str, torch.Tensor]) -> None:
    torch.save(public_state, tmp_path / "in.pt")
    given = (f"weights={tmp_path}/in.pt", *WRN, "attack=unknown", "defense=none")
    code, text = nba("defend", *given, "victim.mean=[0.5,0.4,0.3]", "victim.std=[0.2,0.25,0.5]")
    assert code == 0 and "holds no normalisation" not in text
    tensors = load_file(record(tmp_path)[0] / "model.safetensors")
    assert tensors["normalise.mean"].flatten().tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert tensors["normalise.std"].flatten().tolist() == pytest.approx([0.2, 0.25, 0.5])
    code, text = nba("defend", *given, "victim.mean=[0.5]")
    assert code == 2 and "victim.mean=[0.5]: 3 values are needed" in text
    code, text = nba("defend", *given, "victim.std=[0,1,1]")
    assert code == 2 and "std above 0" in text


def test_with_a_trigger_at_hand_there_are_asr_and_ra(
    nba: Run, tmp_path: Path, public_state: dict[str, torch.Tensor]
) -> None:
    torch.save(public_state, tmp_path / "in.pt")
    given = (f"weights={tmp_path}/in.pt", *WRN, "defense=none")
    assert nba("defend", *given, "attack=badnets")[0] == 0
    assert record(tmp_path)[1]["figures"]["asr"] is not None and record(tmp_path)[1]["der"] == 0.5
    code, text = nba("defend", *given, "attack=trojan")
    assert code == 2 and "Add trigger=FILE" in text
    assert nba("defend", *given, "attack=wanet")[0] == 0, "drawn, not learned"


def test_clean_arrays_alone_clean_but_train_no_victim(
    nba: Run, tmp_path: Path, public_state: dict[str, torch.Tensor]
) -> None:
    arrays = tiny_arrays(train=30)
    np.savez(tmp_path / "clean.npz", x_clean=arrays["x_train"], y_clean=arrays["y_train"])
    torch.save(public_state, tmp_path / "in.pt")
    data = ("dataset=npz", f"dataset.path={tmp_path}/clean.npz")
    code, text = nba("defend", f"weights={tmp_path}/in.pt", *WRN, *data, *SHORT, dataset=False)
    assert code == 0, text
    assert record(tmp_path)[1]["counts"] == {"train": 21, "test": 9, "clean": 21}
    code, text = nba("attack", *data, *WRN, dataset=False)
    assert code == 2 and f"dataset.path={tmp_path}/clean.npz: " in text and "no victim is trained on them" in text
    code, text = nba("attack", "attack=unknown", *WRN)
    assert code == 2 and "nba defend weights=FILE attack=unknown" in text


def test_clean_images_that_are_too_few_are_refused_by_the_option_they_come_from(
    nba: Run, tmp_path: Path, public_state: dict[str, torch.Tensor]
) -> None:
    torch.save(public_state, tmp_path / "in.pt")
    given = ("defend", f"weights={tmp_path}/in.pt", *WRN, *SHORT, "defense=anp")
    code, text = nba(*given, "dataset.clean_ratio=0.001")
    assert code == 2 and "dataset.clean_ratio=0.001: 3 clean images are too few to hold some out" in text
    arrays = tiny_arrays(train=6)
    for each in (1, 2):  # of a class: too few to measure on some, and then for a hold-out of the rest
        kept = [k for label in range(3) for k in (arrays["y_train"] == label).nonzero()[0][:each]]
        np.savez(tmp_path / "few.npz", x_clean=arrays["x_train"][kept], y_clean=arrays["y_train"][kept])
        code, text = nba(*given, "dataset=npz", f"dataset.path={tmp_path}/few.npz", dataset=False)
        said = f"dataset.path={tmp_path}/few.npz: 3 clean images are too few to hold some out"
        assert code == 2 and said in text and not list((tmp_path / "runs").glob("defend/*/metrics.json")), text


def test_changes_by_hand() -> None:
    found = changed_predictions(torch.tensor([0, 0, 1, 2, 2]), torch.tensor([1, 1, 1, 0, 1]))
    assert found == [
        {"from": 0, "to": 1, "count": 2},
        {"from": 2, "to": 0, "count": 1},
        {"from": 2, "to": 1, "count": 1},
    ]
    console, five = Console(width=80), tiny_data()[torch.tensor([0, 0, 1, 2, 2])]
    with console.capture() as shown:
        console.print(changes_table(found, Splits(tiny_data(), five, 3, names=NAMES)))
    title, _, *rows = (" ".join(line.split()) for line in shown.get().splitlines())
    assert title == "4 of 5 predictions changed"
    assert rows == ["a (0) b [old] (1) 2", "c [bold] (2) a (0) 1", "c [bold] (2) b [old] (1) 1"], (
        "brackets are no markup"
    )


def test_an_equal_budget_holds_for_a_model_from_elsewhere(nba: Run, tmp_path: Path, brief: NBA) -> None:
    """Its clean images are those of the set that is given."""
    network = WideResNet(depth=10).build(3, tiny_data())
    torch.save(network.state_dict(), tmp_path / "suspect.pt")
    given = (f"weights={tmp_path / 'suspect.pt'}", *WRN, "attack=unknown", "defense=ft", "dataset.clean_ratio=0.05")
    code, text = nba("defend", *given, "budget=equal")
    assert code == 0, text
    assert record(tmp_path)[1]["passes"]["backward"] == pytest.approx(brief.backward_images(12), rel=0.02)
