"""Every attack of the registry, and the pixels of each trigger by hand."""

from __future__ import annotations

import pytest
import torch

from attacks import ATTACKS, Attack, Mode, poison, poisoned_index, stamped
from attacks.badnets import BadNets, Corner, Pattern
from attacks.blend import Blend, Key
from nba_cli.data import Data
from nba_cli.errors import Refused
from nba_cli.seeds import generator

TRIGGERED = [name for name in ATTACKS if name != "none"]
LABELS = torch.arange(400) % 4


@pytest.fixture(params=TRIGGERED)
def attack(request: pytest.FixtureRequest) -> Attack:
    return ATTACKS[request.param]()


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
    assert torch.equal(whole[order], parts)


def test_stamp_is_differentiable(attack: Attack) -> None:
    x = images().requires_grad_()
    attack.stamp(x, torch.arange(12)).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_the_same_code_stamps_training_and_test(attack: Attack) -> None:
    x = (images() * 255).to(torch.uint8)
    assert torch.equal(stamped(attack, x, torch.arange(12), train=True), stamped(attack, x, torch.arange(12)))


def test_stamped_rounds_to_8_bits_and_ignores_batch_size(attack: Attack) -> None:
    x, index = (images() * 255).to(torch.uint8), torch.arange(12)
    whole = stamped(attack, x, index)
    exact = attack.stamp(x.float() / 255, index) * 255
    assert whole.dtype == torch.uint8
    assert (whole.float() - exact).abs().max() <= 0.5 + 1e-4
    assert torch.equal(whole, stamped(attack, x, index, batch=5))


def test_badnets_pixels_by_hand() -> None:
    out = BadNets().stamp(torch.full((1, 3, 6, 5), 0.5), torch.zeros(1, dtype=torch.int64))
    patch = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    assert torch.equal(out[0, :, 3:, 2:], patch.expand(3, 3, 3))
    untouched = out.clone()
    untouched[0, :, 3:, 2:] = 0.5
    assert (untouched == 0.5).all()


def test_badnets_position_size_and_pattern() -> None:
    attack = BadNets(size=2, margin=1, corner=Corner.top_left, pattern=Pattern.white)
    out = attack.stamp(torch.zeros(1, 1, 5, 5), torch.zeros(1, dtype=torch.int64))
    wanted = torch.zeros(5, 5)
    wanted[1:3, 1:3] = 1
    assert torch.equal(out[0, 0], wanted)


def test_badnets_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Refused, match="does not fit images of 4x4"):
        BadNets(size=5).stamp(torch.zeros(1, 3, 4, 4), torch.zeros(1, dtype=torch.int64))


def test_blend_pixels_by_hand() -> None:
    attack = Blend(alpha=0.25)
    key = attack.image((3, 4, 4))
    out = attack.stamp(torch.full((2, 3, 4, 4), 0.4), torch.arange(2))
    assert torch.allclose(out[1], 0.75 * 0.4 + 0.25 * key)
    assert torch.equal(out[0], out[1]), "the key is one fixed image, not redrawn per image"
    assert key.std() > 0.2 and not torch.equal(key[0], key[1])


def test_blend_keys_differ_by_seed_and_kind() -> None:
    shape = (3, 16, 16)
    keys = [Blend().image(shape), Blend(key_seed=1).image(shape), Blend(key=Key.picture).image(shape)]
    assert not torch.equal(keys[0], keys[1]) and not torch.equal(keys[0], keys[2])
    assert all(key.min() >= 0 and key.max() <= 1 for key in keys)


@pytest.mark.parametrize("mode", Mode)
def test_choose_poisons_the_right_images(attack: Attack, mode: Mode) -> None:
    if mode not in attack.modes:
        with pytest.raises(Refused):
            type(attack)(mode=mode)
        return
    attack = type(attack)(mode=mode, target=2, rate=0.5)
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
    with pytest.raises(Refused, match="opacity"):
        Blend(alpha=0.0)


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
