"""Every attack of the registry: what has to hold for all of them. Pixels of each trigger: test_pixels.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from builders import made

from attacks import (
    ATTACKS,
    Attack,
    BadNets,
    Blend,
    CleanLabel,
    Learned,
    Mode,
    changed_index,
    poison,
    poisoned_index,
    poisoning,
    stamped,
)
from attacks.badnets import Pattern
from nba_cli.data import Data
from nba_cli.errors import Refused
from nba_cli.pipeline import trigger_cache
from nba_cli.runs.folder import TRIGGER
from nba_cli.seeds import generator

TRIGGERED = [name for name, cls in ATTACKS.items() if cls().rate]


LABELS = torch.arange(400) % 4


@pytest.fixture(params=TRIGGERED)
def attack(request: pytest.FixtureRequest) -> Attack:
    return made(request.param, images())


def images(count: int = 12, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_stamp_keeps_shape_range_and_input(attack: Attack) -> None:
    x = images()
    before = x.clone()
    out = attack.stamp(x, torch.arange(12))
    assert out.shape == x.shape and out.dtype == x.dtype
    assert out.min() >= 0 and out.max() <= 1
    assert torch.equal(x, before)
    assert not torch.equal(out, x)


def test_stamp_is_deterministic_and_independent_of_batching(attack: Attack) -> None:
    x, index = images(), torch.arange(12)
    whole = attack.stamp(x, index)
    assert torch.equal(whole, attack.stamp(x, index))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    parts = torch.cat([attack.stamp(x[i : i + 1], index[i : i + 1]) for i in order])
    # a convolution may sum in another order for another batch size, not differently
    assert torch.allclose(whole[order], parts, rtol=0, atol=1e-5 if isinstance(attack, Learned) and attack.joint else 0)


def test_stamp_is_differentiable(attack: Attack) -> None:
    x = images().requires_grad_()
    attack.stamp(x, torch.arange(12)).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_the_same_code_stamps_training_and_test(attack: Attack) -> None:
    x, index = (images() * 255).to(torch.uint8), torch.arange(12)
    training, test = stamped(attack, x, index, train=True), stamped(attack, x, index)
    if isinstance(attack, CleanLabel):  # perturbs its training images first, then stamps both alike
        moved = x.float() + attack.tensor("train.delta", x)
        beneath = moved.clamp(0, 255).to(torch.uint8)
        test = stamped(attack, beneath, index)
    assert torch.equal(training, test)


def test_a_saved_trigger_reloaded_gives_identical_pixels(attack: Attack, tmp_path: Path) -> None:
    trigger_cache.save(attack, tmp_path)
    again = trigger_cache.load(type(attack)(), tmp_path / TRIGGER)
    assert (tmp_path / TRIGGER).exists() == isinstance(attack, Learned)
    x, index = (images() * 255).to(torch.uint8), torch.arange(12)
    assert torch.equal(stamped(attack, x, index), stamped(again, x, index))
    if isinstance(attack, Learned) and isinstance(again, Learned):
        assert again.made is not None and not [name for name in again.made if name.startswith("train.")]


@pytest.mark.parametrize("name", ["trojan", "wanet", "inputaware"])
def test_a_trigger_that_is_not_made_yet_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="has to be learned before"):
        ATTACKS[name]().stamp(images(), torch.arange(12))


def test_stamped_rounds_to_8_bits_and_ignores_batch_size(attack: Attack) -> None:
    x, index = (images() * 255).to(torch.uint8), torch.arange(12)
    whole = stamped(attack, x, index)
    exact = attack.stamp(x.float() / 255, index) * 255
    assert whole.dtype == torch.uint8
    assert (whole.float() - exact).abs().max() <= 0.5 + 1e-4
    assert torch.equal(whole, stamped(attack, x, index, batch=1)), "four of 16x16 at a time"


@pytest.mark.parametrize("mode", Mode)
def test_choose_poisons_the_right_images(attack: Attack, mode: Mode) -> None:
    if mode not in attack.modes:
        with pytest.raises(Refused):
            type(attack)(mode=mode)
        return
    attack = type(attack)(mode=mode, target=2, rate=0.5)
    if isinstance(attack, Learned) and attack.joint:
        assert len(attack.choose(LABELS, 4, generator(0, "poison"))) == 0, "drawn in every batch instead"
        return
    index = attack.choose(LABELS, 4, generator(0, "poison"))
    chosen = LABELS[index]
    assert torch.equal(index, index.unique()), "ascending, each once"
    if mode is Mode.clean_label:
        assert (chosen == 2).all() and len(index) == 50, "half of the target class"
        assert torch.equal(attack.relabel(chosen, 4), chosen)
    elif mode is Mode.all2one:
        assert not (chosen == 2).any() and len(index) == 200, "half of the set, none of the target class"
        assert (attack.relabel(chosen, 4) == 2).all()
    else:
        assert len(index) == 200
        assert torch.equal(attack.relabel(torch.tensor([0, 3]), 4), torch.tensor([1, 0]))
    assert torch.equal(index, attack.choose(LABELS, 4, generator(0, "poison")))
    assert not torch.equal(index, attack.choose(LABELS, 4, generator(1, "poison")))


def test_goal_of_a_clean_label_attack_is_its_target() -> None:
    attack = BadNets(mode=Mode.clean_label, target=1)
    assert attack.goal(torch.tensor([0, 1, 2]), 3).tolist() == [1, 1, 1]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(Refused, match=r"rate=0.0: a poison rate lies in \(0,1\]"):
        BadNets(rate=0.0)
    with pytest.raises(Refused, match="asks for 360 poisoned images, but only 300"):
        BadNets(rate=0.9).choose(LABELS, 4, generator(0, "poison"))
    with pytest.raises(Refused, match="target=4: the data set has classes 0 to 3"):
        BadNets(target=4).choose(LABELS, 4, generator(0, "poison"))
    with pytest.raises(Refused, match="poisons none"):
        BadNets(rate=0.001).choose(LABELS, 4, generator(0, "poison"))
    with pytest.raises(Refused, match=r"alpha=0: must lie in \(0,1\]"):
        Blend(alpha=0.0)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("badnets", {"size": 0}),
        ("badnets", {"size": 1, "pattern": Pattern.grid}),
        ("cl", {"size": 1}),
        ("trojan", {"steps": 0}),
        ("trojan", {"mode": Mode.all2all}),
        ("cl", {"eps": 0.0}),
        ("cl", {"mode": Mode.all2one}),
        ("sig", {"delta": 0.0}),
        ("sig", {"test_delta": -1.0}),
        ("refool", {"low": 0.5, "high": 0.4}),
        ("refool", {"candidates": 3}),
        ("cl", {"robust_epochs": -1.0}),
        ("wanet", {"k": 1}),
        ("wanet", {"mode": Mode.clean_label}),
        ("inputaware", {"rate": 0.6, "cross_rate": 0.5}),
        ("inputaware", {"density": 0.0}),
        ("inputaware", {"rate": 0.001}),
        *((name, options) for name in ("none", "unknown", "images") for options in ({"target": -1}, {"rate": 0.1})),
    ],
)
def test_settings_are_checked(name: str, settings: dict) -> None:
    with pytest.raises(Refused):
        ATTACKS[name](**settings)


def test_poison_changes_the_chosen_images_only(tiny: Data) -> None:
    attack = BadNets(rate=0.2, target=1)
    index = poisoned_index(attack, tiny, 3, seed=0)
    poisoned = poison(attack, tiny, index, 3, seed=0)
    rest = torch.ones(len(tiny), dtype=torch.bool)
    rest[index] = False
    assert len(index) == 48
    assert torch.equal(poisoned.images[rest], tiny.images[rest])
    assert torch.equal(poisoned.labels[rest], tiny.labels[rest])
    assert (poisoned.labels[index] == 1).all()
    assert torch.equal(poisoned.images[index], stamped(attack, tiny.images[index], index, train=True))


@pytest.mark.parametrize("name", ["badnets", "wanet"])
def test_poison_changes_a_batch_at_a_time(name: str, tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """The poisoned images and, of wanet, the noise images."""
    attack = made(name, tiny.images[:4].float() / 255, rate=0.2, target=1)
    index = poisoned_index(attack, tiny, 3, seed=0)
    whole = poison(attack, tiny, index, 3, seed=0)
    sizes, true = [], poisoning.materialise

    def spy(change: object, images: torch.Tensor, index: torch.Tensor, *given: int) -> torch.Tensor:
        sizes.append(len(images))
        return true(change, images, index, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(poisoning, "BATCH", 5)  # 20 images of 16x16
    monkeypatch.setattr(poisoning, "materialise", spy)
    assert poison(attack, tiny, index, 3, seed=0).digest() == whole.digest()
    assert sizes == [20, 20, 8] + ([20, 20, 20, 20, 16] if name == "wanet" else [0])


def test_no_attack_poisons_nothing(tiny: Data) -> None:
    attack = ATTACKS["none"]()
    index = poisoned_index(attack, tiny, 3, seed=0)
    poisoned = poison(attack, tiny, index, 3, seed=0)
    assert len(index) == 0 and poisoned.digest() == tiny.digest()
    with pytest.raises(Refused, match="poisons nothing"):
        ATTACKS["none"](rate=0.1)


def test_stamp_runs_on_the_meta_device(attack: Attack) -> None:
    """A hidden CPU tensor would raise here: the GPU path, checked without a GPU."""
    out = attack.stamp(images().to("meta"), torch.arange(12, device="meta"))
    assert out.is_meta and out.shape == (12, 3, 16, 16)
    wanted = attack.relabel(attack.goal(torch.zeros(12, dtype=torch.int64, device="meta"), 4), 4)
    assert wanted.is_meta


@pytest.mark.parametrize("name", ["wanet", "badnets", "blend"])
def test_the_changed_images_are_those_that_poisoning_changes(name: str, tiny: Data) -> None:
    """Poisoned ones and noise images, the same that `poison` draws."""
    attack = made(name, tiny.images[:4].float() / 255, rate=0.1, target=1)
    index = poisoned_index(attack, tiny, 3, seed=5)
    poisoned = poison(attack, tiny, index, 3, seed=5)
    differ = (poisoned.images != tiny.images).flatten(1).any(1).nonzero().flatten()
    assert changed_index(attack, tiny, 3, seed=5).sort().values.tolist() == differ.tolist()
    assert len(differ) == (72 if name == "wanet" else 24)
