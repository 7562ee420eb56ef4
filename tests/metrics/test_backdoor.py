"""ACC, ASR, RA and DER by hand."""

from __future__ import annotations

import pytest
import torch
from builders import Scripted, images_of

from attacks import ATTACKS, Attack, BadNets, Mode, stamped
from nba_cli.metrics import backdoor, der, measure
from nba_cli.training import inference


def test_asr_leaves_the_target_class_out() -> None:
    # triggered: class 0 is the target; 1 -> 0 (attack), 2 -> 2 (robust), 3 -> 1 (neither)
    test = images_of([0, 0, 0, 1, 1, 2, 3, 3])
    found = measure(Scripted(4, {1: 0, 3: 1}), test, BadNets(target=0), 4)
    assert found == {
        "acc": 1.0,
        "asr": pytest.approx(2 / 5),
        "ra": pytest.approx(1 / 5),
        "triggered": 5,
        "asr_by_class": [None, 1.0, 0.0, 0.0],
    }


def test_all2all_counts_label_plus_one_over_all_images() -> None:
    test = images_of([0, 1, 2, 3])
    found = measure(Scripted(4, {0: 1, 1: 1, 3: 0}), test, BadNets(mode=Mode.all2all), 4)
    # 0 -> 1 and 3 -> 0 are what the attacker wants; 1 and 2 stay true
    assert found.pop("asr_by_class") == [1.0, 0.0, 0.0, 1.0]
    assert found == {"acc": 1.0, "asr": 0.5, "ra": 0.5, "triggered": 4}


def test_a_clean_label_attack_wants_its_target() -> None:
    found = measure(Scripted(3, {1: 2}), images_of([0, 1, 2]), BadNets(mode=Mode.clean_label, target=2), 3)
    assert (found["asr"], found["ra"], found["triggered"]) == (0.5, 0.5, 2)


def test_acc_counts_the_whole_test_set() -> None:
    test = images_of([0, 1, 2, 3])
    test.labels[0] = 3
    assert measure(Scripted(4, {}), test, BadNets(target=1), 4)["acc"] == 0.75


def test_triggered_images_are_made_as_many_at_a_time_as_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def spy(attack: Attack, images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return stamped(attack, images, index)

    test, model, attack = images_of([0, 1, 2, 1, 3] * 20), Scripted(4, {1: 0, 3: 1}), BadNets(target=0)
    whole = measure(model, test, attack, 4)
    monkeypatch.setattr(backdoor, "stamped", spy)
    monkeypatch.setattr(inference, "TOGETHER", {"cpu": 1})  # 28 images of 6x6
    assert measure(model, test, attack, 4) == whole and whole["triggered"] == 80
    assert sizes == [28, 28, 24]


def test_without_a_trigger_there_is_no_asr() -> None:
    found = measure(Scripted(4, {}), images_of([0, 1]), ATTACKS["none"](), 4)
    assert found == {"acc": 1.0, "asr": None, "ra": None, "triggered": 0, "asr_by_class": [None] * 4}


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ((0.90, 1.00), (0.88, 0.00), (1.00 - 0.02 + 1) / 2),
        ((0.90, 1.00), (0.95, 0.40), (0.60 - 0 + 1) / 2),  # a gain in ACC counts nothing
        ((0.90, 0.10), (0.80, 0.30), (0 - 0.10 + 1) / 2),  # a rise in ASR counts nothing
    ],
)
def test_der(before: tuple[float, float], after: tuple[float, float], wanted: float) -> None:
    figures = [dict(zip(("acc", "asr"), pair, strict=True)) for pair in (before, after)]
    assert der(*figures) == pytest.approx(wanted)
    assert der({"acc": 1, "asr": None}, {"acc": 1, "asr": None}) is None
