"""BackdoorBench's attack_result.pt: what it says is taken where the user gives nothing else, and a line tells it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from backdoorbench import Elsewhere, attack_result
from builders import tiny_arrays
from conftest import Run
from running import metrics, results

from nba_cli.victims import PreActResNet18, Torchvision
from nba_cli.victims.origin import Origin, origin_of

CIFAR10 = ([0.4914, 0.4822, 0.4465], [0.247, 0.243, 0.261])


def by_hand(elsewhere: Elsewhere, mean: list[float], std: list[float]) -> dict[str, float]:
    apart = elsewhere.labels != elsewhere.target
    clean, stamped = (elsewhere.said(images, mean, std) for images in (elsewhere.clean, elsewhere.stamped[apart]))
    return {
        "acc": float((clean == elsewhere.labels).mean()),
        "asr": float((stamped == elsewhere.target).mean()),
        "ra": float((stamped == elsewhere.labels[apart]).mean()),
        "triggered": int(apart.sum()),
    }


def test_the_file_alone_is_enough_to_evaluate_it(nba: Run, tmp_path: Path, elsewhere: Elsewhere) -> None:
    code, text = nba("evaluate", f"weights={elsewhere.file}", "precision=fp32", dataset=False)
    assert code == 0, text
    found = metrics(results(tmp_path, "evaluate")[0])
    wanted = by_hand(elsewhere, *CIFAR10)
    assert len({*elsewhere.said(elsewhere.stamped, *CIFAR10)}) > 2, "the figures can tell models apart"
    assert {name: found["figures"][name] for name in wanted} == pytest.approx(wanted)
    assert found["victim_label"] == "torchvision_mobilenet_v2"
    assert (found["settings"]["victim"]["mean"], found["settings"]["victim"]["std"]) == CIFAR10
    assert found["settings"]["dataset"]["kind"] == "cifar10" and found["settings"]["attack"]["kind"] == "images"
    assert found["settings"]["attack"]["target"] == 2 and found["digests"]["trigger"]
    (line,) = [line for line in text.splitlines() if "taken as it says" in line]
    for word in ("num_classes=10", "dataset=cifar10", "img_size=32x32", "victim=torchvision_mobilenet_v2",
                 "attack.target=2", "victim.mean=[0.4914, 0.4822, 0.4465]", "victim.std=[0.247, 0.243, 0.261]",
                 "triggered test images: ", "bd_test_dataset"):  # fmt: skip
        assert word in line
    assert "otherwise" not in line and "holds no normalisation" not in text


def test_defend_opens_it_as_evaluate_does(nba: Run, tmp_path: Path, elsewhere: Elsewhere) -> None:
    given = (f"weights={elsewhere.file}", "precision=fp32")
    code, text = nba("defend", *given, "defense=none", "dataset.clean_ratio=0.5", dataset=False)
    assert code == 0, text
    assert "taken as it says: num_classes=10, dataset=cifar10" in text
    found = metrics(results(tmp_path, "defend")[0])
    wanted = by_hand(elsewhere, *CIFAR10)
    assert {name: found["before"][name] for name in wanted} == pytest.approx(wanted)
    assert found["settings"]["dataset"]["clean_ratio"] == 0.5, "an option that the user gave stays"
    assert found["counts"]["clean"] == 30
    code, text = nba("evaluate", f"run={results(tmp_path, 'defend')[0]}", dataset=False)
    assert code == 0, text
    assert metrics(results(tmp_path, "evaluate")[0])["figures"] == found["figures"]


def test_what_the_user_gives_is_not_overruled(nba: Run, tmp_path: Path, elsewhere: Elsewhere) -> None:
    given = (f"weights={elsewhere.file}", "attack=badnets", "attack.target=1", "victim=torchvision",
             "victim.name=mobilenet_v2", "victim.std=[0.5,0.5,0.5]")  # fmt: skip
    code, text = nba("evaluate", *given, dataset=False)
    assert code == 0, text
    settings = metrics(results(tmp_path, "evaluate")[0])["settings"]
    assert settings["attack"]["kind"] == "badnets" and settings["attack"]["target"] == 1
    assert settings["victim"]["std"] == [0.5] * 3 and settings["victim"]["mean"] == CIFAR10[0]
    assert "otherwise: attack.target=1 (it says 2), victim.std=[0.5, 0.5, 0.5] (it says [0.247, 0.243, 0.261])" in text
    code, text = nba("evaluate", f"weights={elsewhere.file}", "victim=wrn_16_1", dataset=False)
    assert code == 2 and "tensors do not fit wrn_16_1 (" in text and text.count("\n") <= 2


def test_the_target_of_a_trigger_that_the_user_gives(nba: Run, tmp_path: Path, elsewhere: Elsewhere) -> None:
    code, text = nba("evaluate", f"weights={elsewhere.file}", "attack=badnets", "attack.size=5", dataset=False)
    assert code == 0, text
    attack = metrics(results(tmp_path, "evaluate")[0])["settings"]["attack"]
    assert (attack["kind"], attack["size"], attack["target"]) == ("badnets", 5, 2)


def test_without_its_images_the_trigger_is_unknown(nba: Run, tmp_path: Path, elsewhere: Elsewhere) -> None:
    shutil.rmtree(elsewhere.file.parent / "bd_test_dataset")
    code, text = nba("defend", f"weights={elsewhere.file}", "defense=none", dataset=False)
    assert code == 0, text
    assert "its triggered test images (bd_test_dataset/) are not beside it: no ASR, no RA" in text
    found = metrics(results(tmp_path, "defend")[0])
    assert found["figures"]["asr"] is None and found["settings"]["attack"]["kind"] == "unknown"


def test_another_test_set_is_not_measured_with_its_images_unasked(
    nba: Run, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    arrays = tiny_arrays(train=60, test=40, classes=10, side=32)
    np.savez(tmp_path / "own.npz", **arrays)  # type: ignore[arg-type]
    given = (f"weights={elsewhere.file}", "dataset=npz", f"dataset.path={tmp_path}/own.npz", "precision=fp32")
    code, text = nba("evaluate", *given, dataset=False)
    assert code == 0, text
    assert "otherwise: dataset=npz (it says cifar10)" in text and "attack=images takes them all the same" in text
    code, text = nba("evaluate", *given, "attack=images", dataset=False)
    assert code == 0, text
    asked = [found for path in results(tmp_path, "evaluate") if (found := metrics(path))["figures"]["asr"] is not None]
    wanted = by_hand(elsewhere, *CIFAR10)
    assert [{name: one["figures"][name] for name in wanted} for one in asked] == [pytest.approx(wanted)]


def test_a_data_set_that_is_none_of_ours(nba: Run, tmp_path: Path, elsewhere: Elsewhere, tiny_file: Path) -> None:
    elsewhere.rewrite(clean_data="celeba")
    for command in ("evaluate", "defend"):
        code, text = nba(command, f"weights={elsewhere.file}", dataset=False)
        assert code == 2 and "its data set is celeba, which is none of ours. Give it by dataset=folder" in text
        assert text.count("\n") == 1
    record = attack_result(tmp_path / "record/other", tiny_arrays(), clean_data="celeba")
    code, text = nba("evaluate", f"weights={record.file}", "precision=fp32")
    assert code == 0, text
    found = metrics(results(tmp_path, "evaluate")[0])
    assert found["settings"]["victim"]["mean"] == [0.0] * 3 and found["settings"]["victim"]["std"] == [1.0] * 3
    assert found["figures"]["acc"] == pytest.approx(by_hand(record, [0.0] * 3, [1.0] * 3)["acc"])


def test_images_of_a_folder_get_the_size_that_the_file_names(
    nba: Run, tmp_path: Path, elsewhere: Elsewhere, tiny_file: Path
) -> None:
    from PIL import Image

    for number, (pixels, label) in enumerate(zip(elsewhere.clean, elsewhere.labels, strict=True)):
        folder = tmp_path / f"images/clean/{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((48, 48)).save(folder / f"{number}.png")
    given = (f"weights={elsewhere.file}", "dataset=folder", f"dataset.path={tmp_path}/images", "defense=none")
    elsewhere.rewrite(img_size=(24, 24, 3))
    code, text = nba("defend", *given, dataset=False)
    assert code == 0, text
    assert metrics(results(tmp_path, "defend")[0])["settings"]["dataset"]["size"] == 24 and "3x24x24" in text
    code, text = nba("defend", *given, "dataset.size=16", dataset=False)
    assert code == 0 and "img_size=16x16 (it says 24x24)" in text
    code, text = nba("defend", *given, "attack=images", dataset=False)
    assert code == 2 and "attack=images: its files are numbered by the test set" in text


def test_a_file_that_names_nothing_needs_victim_and_dataset(nba: Run, tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.ones(1)}, tmp_path / "plain.pt")
    for given, lacking in (
        ((), "victim=… and dataset=…"),
        (("victim=wrn_16_1",), "dataset=…"),
        (("dataset=cifar10",), "victim=…"),
    ):
        code, text = nba("evaluate", f"weights={tmp_path}/plain.pt", *given, dataset=False)
        assert code == 2 and f"does not say what its weights belong to. Add {lacking} (and attack=…" in text


def test_all2all_is_seen_in_the_labels(nba: Run, tmp_path: Path, elsewhere: Elsewhere) -> None:
    arrays = tiny_arrays(train=60, test=40, classes=10, side=32)
    record = attack_result(tmp_path / "record/shifted", arrays, all2all=True)
    code, text = nba("evaluate", f"weights={record.file}", "precision=fp32", dataset=False)
    assert code == 0 and "attack.mode=all2all" in text, text
    found = metrics(results(tmp_path, "evaluate")[0])
    said = record.said(record.stamped, *CIFAR10)
    assert found["figures"]["triggered"] == 40
    assert found["figures"]["asr"] == pytest.approx(float((said == (record.labels + 1) % 10).mean()))


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("cifar10", *CIFAR10),
        ("cifar100", [0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
        ("tiny", [0.4802, 0.4481, 0.3975], [0.2302, 0.2265, 0.2262]),
        ("imagenet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ("gtsrb", [0, 0, 0], [1, 1, 1]),
        ("celeba", [0, 0, 0], [1, 1, 1]),
    ],
)
def test_the_normalisation_of_each_data_set(name: str, mean: list[float], std: list[float]) -> None:
    """As get_dataset_normalization in BackdoorBench's dataset_and_transform_generate.py has it."""
    assert Origin(clean_data=name).statistics == (mean, std)
    assert Origin(clean_data="own").statistics is None and Origin().statistics is None


def test_what_has_not_its_form_counts_as_not_said(elsewhere: Elsewhere) -> None:
    payload = torch.load(elsewhere.file, weights_only=False)
    assert origin_of(payload).target == 2 and origin_of(payload).side == 32
    for part, forms in {
        "bd_test": (None, [], {}, {"bd_data_container": {"data_dict": {0: {"other_info": "x"}}}}, torch.ones(2)),
        "img_size": (None, 3, (1,), (32, 16, 3), ("a", "b"), (-4, -4), float("inf")),
        "model_name": (7, None, b"resnet18"),
        "num_classes": ("ten", None, 3.5),
        "clean_data": (torch.ones(1), None, 3),
    }.items():
        for form in forms:
            origin = origin_of(payload | {part: form})
            said = {"bd_test": origin.target, "img_size": origin.side}.get(part, getattr(origin, part, None))
            assert said is None and not origin.all2all
    pairs = {0: {"other_info": [-1, 0]}}
    assert origin_of({"bd_test": {"bd_data_container": {"data_dict": pairs}}}).target is None


def test_its_architectures() -> None:
    assert Origin(model_name="preactresnet18").victim == PreActResNet18()
    assert Origin(model_name="resnet18").victim == Torchvision(name="resnet18")
    assert Origin(model_name="own").victim is None and Origin().victim is None
