"""The pixels of each trigger, by hand or by an independent formula."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import Scripted, halved, lesson, made, untrained
from torch import Tensor, nn

from attacks import BadNets, Blend, CleanLabel, InputAware, Mode, Refool, Sig, Trojan, WaNet
from attacks._patch import Corner
from attacks._randomness import uniform
from attacks._reflection import textures
from attacks._selection import rates, select
from attacks.badnets import Pattern
from attacks.cl import pgd, robust
from attacks.inputaware import rms
from attacks.learned import Lesson
from attacks.trojan import penultimate
from attacks.wanet import positions, read_at
from nba_cli.data import Augment, Data
from nba_cli.errors import Refused
from nba_cli.training import Event, Partner, Plan, fit, silent


def images(count: int = 12, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


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


def test_badnets_grid_is_that_of_public_code() -> None:
    out = BadNets(pattern=Pattern.grid).stamp(torch.full((1, 1, 6, 6), 0.5), torch.zeros(1, dtype=torch.int64))
    assert out[0, 0, 3:, 3:].tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 1]]
    mirrored = BadNets(pattern=Pattern.grid, corner=Corner.top_left)
    out = mirrored.stamp(torch.full((1, 1, 6, 6), 0.5), torch.zeros(1, dtype=torch.int64))
    assert out[0, 0, :3, :3].tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]


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
    keys = [Blend().image(shape), Blend(key_seed=1).image(shape), Blend(key="picture").image(shape)]
    assert not torch.equal(keys[0], keys[1]) and not torch.equal(keys[0], keys[2])
    assert all(key.min() >= 0 and key.max() <= 1 for key in keys)


def test_chance_is_uniform_and_a_function_of_seed_index_and_purpose() -> None:
    index = torch.arange(20000)
    drawn = uniform(index, 0, "a")
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = torch.histc(drawn, 20, 0, 1)
    assert ((counts - 1000).abs() < 150).all(), "five standard deviations"
    assert torch.equal(uniform(index[500:510], 0, "a"), drawn[500:510])
    others = torch.stack([drawn, uniform(index, 1, "a"), uniform(index, 0, "b"), drawn.roll(1)])
    correlation = torch.corrcoef(others) - torch.eye(4)
    assert correlation.abs().max() < 0.04


def test_sig_pixels_by_hand() -> None:
    out = Sig(frequency=2, delta=51).stamp(torch.full((1, 3, 2, 16), 0.5), torch.zeros(1, dtype=torch.int64))
    half = math.sqrt(0.5)
    period = [0, half, 1, half, 0, -half, -1, -half]
    wanted = torch.tensor([0.5 + 0.2 * value for value in period * 2])
    assert torch.allclose(out, wanted.expand(1, 3, 2, 16), atol=1e-6)
    clipped = Sig(delta=60).stamp(torch.ones(1, 1, 2, 32), torch.zeros(1, dtype=torch.int64))
    assert clipped.max() == 1 and clipped.min() == pytest.approx(1 - 60 / 255)


def test_sig_has_another_strength_at_test_time_only_when_asked() -> None:
    x, index = torch.full((1, 1, 2, 32), 0.5), torch.zeros(1, dtype=torch.int64)
    attack = Sig(delta=20, test_delta=40)
    change = [(attack.stamp(x, index, train=train) - x).abs().max().item() for train in (True, False)]
    assert change == pytest.approx([20 / 255, 40 / 255], rel=0.01)


def glass(x: np.ndarray, r: np.ndarray, draw: Callable[..., float]) -> tuple[str, np.ndarray]:
    """Refool's mixture of one image and one reflection [C,H,W] in NumPy, by loops and rolls; which kind it is, too."""
    t, r, side = x**2.2, r**2.2, x.shape[1]
    o, kind = draw("opacity", 0.05, 0.45), draw("kind")
    if kind < 0.49:
        down, right = (int(draw(name, 3, 9)) for name in ("down", "right"))
        s = draw("ghost", 0.15, 0.5)
        s = s if draw("first") < 0.5 else 1 - s
        name, added = "ghost", o * (s * r + (1 - s) * np.roll(r, (down, right), (1, 2)))
    elif kind < 0.745:
        name, added = "in focus", o * r
    else:
        offsets, sigma = np.arange(-60, 61), draw("sigma", 1, 5)
        k = np.exp(-(offsets**2) / (2 * sigma**2))
        k /= k.sum()
        b = np.sum([k[i] * np.roll(r, offsets[i], 1) for i in range(121)], axis=0)
        b = np.sum([k[i] * np.roll(b, offsets[i], 2) for i in range(121)], axis=0)
        for channel in range(len(b)):
            bright = (b + t)[channel]
            mean = max(1.0, bright[bright > 1].mean()) if (bright > 1).any() else 1.0
            b[channel] -= draw("attenuation", 1.08, 1.18) * (mean - 1)
        u = np.linspace(-3, 3, side)
        name, added = "out of focus", (1 + o) / 2 * np.exp(-(u[:, None] ** 2 + u**2) / 4) * b.clip(0, 1)
    return name, ((1 - o) * t + added).clip(0, 1) ** (1 / 2.2)


def test_refool_mixes_as_a_version_in_numpy() -> None:
    attack = Refool(rounds=0, candidates=5, reflections=5)
    count, seed = 60, attack.reflection_seed
    random = np.random.default_rng(0)
    x = torch.tensor(random.random((count, 3, 24, 24)), dtype=torch.float32)
    attack = attack.with_trigger(attack.learn(lesson(x)))
    assert attack.made is not None
    bank = attack.made["reflections"].numpy() / 255
    kinds: Counter[str] = Counter()
    found = attack.stamp(x, torch.arange(count))
    for i in range(count):
        one = torch.tensor([i])

        def draw(name: str, low: float = 0, high: float = 1, one: torch.Tensor = one) -> float:
            return low + (high - low) * uniform(one, seed, name).item()

        kind, wanted = glass(x[i].double().numpy(), bank[int(draw("reflection") * 5)], draw)
        kinds[kind] += 1
        assert np.abs(found[i].numpy() - wanted).max() < 2e-3, kind
    assert min(kinds["ghost"], kinds["in focus"], kinds["out of focus"]) > 5


def test_refools_textures_have_a_spectrum_of_one_over_f() -> None:
    power = torch.fft.rfft2(textures(64, (3, 32, 32), 0)).abs().square().mean((0, 1))
    assert power[0, 4] / power[0, 8] == pytest.approx(4, rel=0.5)


def test_a_reflection_is_weighed_by_its_success() -> None:
    hits, worn = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0]), torch.tensor([0, 0, 2, 2, 3])
    assert rates(hits, worn, 5).tolist() == pytest.approx([0.5, 0.5, 1.0, 0.01, 0.5]), "not worn: the median"


def test_refool_selects_the_reflections_that_attack_best(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = Refool(rounds=1, tuning=1, candidates=4, reflections=2, target=1)
    given = lesson(torch.rand(60, 3, 16, 16))
    weights = torch.tensor([0.1, 0.8, 0.2, 0.9])
    monkeypatch.setattr("attacks.refool.select", lambda *_: weights)
    bank = (textures(4, (3, 16, 16), 0) * 255).round().to(torch.uint8)
    assert torch.equal(attack.learn(given)["reflections"], bank[[1, 3]])
    assert torch.equal(Refool(rounds=0, reflections=2, candidates=4).learn(given)["reflections"], bank[:2])


@pytest.mark.parametrize(("mode", "rate"), [(Mode.all2all, 1.0), (Mode.all2one, 2 / 3)])
def test_refool_wants_images_to_judge_reflections_by(mode: Mode, rate: float) -> None:
    """Those of the target class are none: whoever sees that class in them has not been turned. It is refused when the
    images are chosen, before a helper is trained.
    """
    labels, few = torch.arange(9) % 3, {"mode": mode, "target": 1, "candidates": 3, "reflections": 2}
    with pytest.raises(Refused, match=r"leaves no image that reflections could be judged by."):
        Refool(rate=rate, **few).choose(labels, 3, torch.Generator())
    assert len(Refool(rate=rate, rounds=0, **few).choose(labels, 3, torch.Generator())) == round(9 * rate)
    assert len(Refool(rate=0.5, **few).choose(labels, 3, torch.Generator())) == 4


def test_the_rounds_of_the_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trains a copy of the helper on what the weights drew, judges other images, and weighs the next draw."""
    given = lesson(torch.zeros(90, 3, 16, 16))
    given.index = torch.arange(0, 60, 2)
    bank = torch.stack([torch.full((3, 16, 16), level) for level in (0.0, 1.0)])
    trained: list[Data] = []

    def fit(model: nn.Module, data: Data, plan: Plan, **_: object) -> nn.Module:
        assert model is not given.helper and (plan.steps, plan.lr) == (7, 0.01)
        trained.append(data)
        return model

    def bright(model: nn.Module, shown: Tensor, dtype: torch.dtype) -> Tensor:
        assert len(shown) == 40, "neither of the target nor poisoned: 60 of the other classes, 20 of them poisoned"
        return (shown.float().mean((1, 2, 3)) > 40).long()

    monkeypatch.setattr("attacks._selection.fit", fit)
    monkeypatch.setattr("attacks._selection.predict", bright)
    settings: dict[str, Any] = {"mode": Mode.all2one, "candidates": 2, "reflections": 1, "target": 1, "low": 0.3}
    settings["tuning"] = 7
    weights = select(Refool(rounds=1, **settings), given, bank, silent)
    monkeypatch.setattr("attacks._selection.BATCH", 2)  # 8 of the 30 images at a time
    select(Refool(rounds=1, **settings), given, bank, silent)
    assert trained[0].digest() == trained[1].digest()
    assert weights[0] == pytest.approx(0.01) and weights[1] > 0.5
    trained.clear()
    select(Refool(rounds=2, **settings), given, bank, silent)
    lit = [(data.images[given.index].float().mean((1, 2, 3)) > 40).float().mean().item() for data in trained]
    assert lit[0] < 0.8 and lit[1] > 0.9, "the second round draws by the rates of the first"
    for data in trained:
        assert (data.labels[given.index] == 1).all()
        rest = torch.ones(90, dtype=torch.bool)
        rest[given.index] = False
        assert torch.equal(data.images[rest], given.train.images[rest])
        assert torch.equal(data.labels[rest], given.train.labels[rest])


def test_wanets_grid_by_hand() -> None:
    attack = WaNet(k=2, s=0.5)
    flow = attack.draw((3, 9, 8))["flow"]
    assert flow.shape == (1, 9, 8, 2)
    corners = flow[0, [0, 0, -1, -1], [0, -1, 0, -1]]
    # the four control points sit in the corners, scaled to mean absolute value 1, times s / W
    assert corners.abs().mean() == pytest.approx(0.5 / 8, rel=1e-5)
    assert torch.equal(flow, attack.draw((3, 9, 8))["flow"])
    assert not torch.equal(flow, WaNet(k=2, flow_seed=1).draw((3, 9, 8))["flow"])


def test_reading_by_hand() -> None:
    x = torch.arange(20.0).view(1, 1, 4, 5) / 20
    here = positions(x)[None]
    assert torch.allclose(read_at(x, here), x, atol=1e-6)
    right = here.clone()
    right[..., 0] += 2 / 4  # a pixel of five spans 2 / (5 - 1)
    out = read_at(x, right.clamp(-1, 1))
    assert torch.allclose(out[..., :4], x[..., 1:], atol=1e-6) and torch.allclose(out[..., 4], x[..., 4], atol=1e-6)


def numpy_bilinear(image: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """[C,H,W] read at [H,W,2] in [-1,1], written out."""
    _, height, width = image.shape
    x, y = (grid[..., 0] + 1) / 2 * (width - 1), (grid[..., 1] + 1) / 2 * (height - 1)
    left, top = np.minimum(np.floor(x), width - 2).astype(int), np.minimum(np.floor(y), height - 2).astype(int)
    right, down = x - left, y - top
    upper = image[:, top, left] * (1 - right) + image[:, top, left + 1] * right
    lower = image[:, top + 1, left] * (1 - right) + image[:, top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def test_wanet_against_numpy_with_the_authors_order_of_clamps() -> None:
    attack = made("wanet", images(), s=4.0)  # strong: the clamps bite
    x, index = images()[:4], torch.tensor([4, 9, 2, 7])
    flow = attack.tensor("flow", x)[0].numpy().astype(np.float64)  # type: ignore[attr-defined]
    side = x.shape[3]
    columns, rows = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    grid = np.clip(np.stack([columns, rows], axis=2) + flow, -1, 1)
    place = torch.arange(side * side * 2)
    for k in range(4):
        wanted = numpy_bilinear(x[k].numpy().astype(np.float64), grid)
        assert np.abs(attack.stamp(x, index)[k].numpy() - wanted).max() < 1e-4
        draw = uniform(index[k] * len(place) + place, 0, "noise mode").view(side, side, 2).numpy().astype(np.float64)
        wanted = numpy_bilinear(x[k].numpy().astype(np.float64), np.clip(grid + (2 * draw - 1) / side, -1, 1))
        assert np.abs(attack.stamp_noise(x, index)[k].numpy() - wanted).max() < 1e-4


def test_wanets_noise_mode_moves_every_image_differently_and_keeps_labels() -> None:
    attack = made("wanet", images(), noise=2.0)
    x, index = images()[:1].expand(3, -1, -1, -1), torch.tensor([4, 9, 2])
    noisy = attack.stamp_noise(x, index)
    assert not torch.equal(noisy[0], noisy[1]) and torch.equal(noisy[1:2], attack.stamp_noise(x[:1], index[1:2]))
    assert not torch.equal(noisy[0], attack.stamp(x, index)[0])
    chosen = torch.tensor([1, 4])
    beside = attack.noise_images(chosen, 20, torch.Generator())
    assert len(beside) == 4 and not set(beside.tolist()) & {1, 4}
    with pytest.raises(Refused, match="asks for 4 noise-mode images, but only 3"):
        attack.noise_images(chosen, 5, torch.Generator())


def test_trojans_patch_excites_the_neurons_of_the_target() -> None:
    x = images(24)
    given = lesson(x)
    attack = Trojan(target=2, neurons=3, steps=60, batch=16, lr=0.1)
    attack = attack.with_trigger(attack.learn(given))
    patch = attack.tensor("patch", x)
    assert patch.shape == (1, 3, 5, 5)
    assert torch.allclose((patch * 255).round() / 255, patch) and patch.min() >= 0 and patch.max() <= 1
    head = given.model.get_submodule("fc")
    assert isinstance(head, nn.Linear)
    wired = head.weight[2].topk(3).indices
    excite = lambda z: penultimate(given.model, head, z)[:, wired].sum(1).mean().item()  # noqa: E731
    stamped = attack.stamp(x, torch.arange(24))
    drawn = attack.with_trigger({"patch": torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))})
    assert excite(stamped) > 1.05 * excite(drawn.stamp(x, torch.arange(24))), "more than a random patch"
    assert torch.equal(stamped[:, :, :11], x[:, :, :11]) and torch.equal(stamped[..., :11], x[..., :11])


def test_cl_perturbs_within_eps_against_the_helper_and_only_in_training() -> None:
    x = (images(9) * 255).round() / 255
    given = lesson(x)
    attack = CleanLabel(eps=8, steps=10)
    attack = attack.with_trigger(attack.learn(given))
    delta = attack.tensor("train.delta", x).float()
    assert delta.abs().max() <= 8 and delta.abs().mean() > 4
    moved = x + delta / 255
    assert moved.min() >= -1e-6 and moved.max() <= 1 + 1e-6
    loss = lambda z: F.cross_entropy(given.model(z), given.train.labels).item()  # noqa: E731
    assert loss(moved) > loss(x) + 0.1
    order = torch.tensor([7, 2])
    training, test = attack.stamp(x[order], order, train=True), attack.stamp(x[order], order)
    assert torch.allclose(training[..., 4:12], moved[order][..., 4:12], atol=1e-6)
    assert torch.equal(test[..., 4:12], x[order][..., 4:12])
    right = torch.tensor([[0.0, 0, 1], [0, 1, 0], [1, 0, 1]])  # the mask of Turner et al.'s code
    for rows in (slice(3), slice(-3, None)):
        for columns, pattern in ((slice(3), right.flip(1)), (slice(-3, None), right)):
            for stamped in (training, test):
                assert torch.equal(stamped[..., rows, columns], pattern.expand(2, 3, 3, 3))


def test_cl_perturbs_fewer_large_images_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """They go backward through the helper together: 250 of 32x32 are 62 of 64x64."""
    seen = []

    def pgd(model: nn.Module, x: Tensor, *_: Any, **__: Any) -> Tensor:
        seen.append(len(x))
        return torch.zeros_like(x)

    monkeypatch.setattr("attacks.cl.pgd", pgd)
    given = lesson(torch.zeros(130, 3, 64, 64))
    CleanLabel().learn(given)
    assert seen == [62, 62, 6]


def test_cls_helper_can_be_trained_adversarially(tiny: Data) -> None:
    """PGD raises its loss less than that of a helper which is trained as long without; the given helper stays."""
    tiny = halved(tiny)
    augment, plan = Augment(0, False), Plan(epochs=12, lr=0.1)
    brief = Plan(steps=60, lr=0.05, batch=60)
    plain = fit(untrained(tiny), tiny, brief, augment=augment, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    given = Lesson(
        train=tiny, index=torch.arange(30), num_classes=3, seed=0, helper=plain.requires_grad_(False), augment=augment
    )
    model = robust(given, 12.0, 0, silent)
    control = copy.deepcopy(plain).requires_grad_(True)
    control = fit(control, tiny, plan, augment=augment, generator=torch.Generator().manual_seed(0))
    x, y = tiny.images.float() / 255, tiny.labels

    def attacked(helper: nn.Module) -> float:
        delta = pgd(helper.eval(), x, y, torch.zeros_like(x), eps=16 / 255, step=4 / 255, steps=7)
        assert delta.abs().max() <= 16 / 255 + 1e-6
        return F.cross_entropy(helper(x + delta), y).item()

    assert attacked(model) < 0.5 * attacked(control)
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    one, two = (CleanLabel(steps=2, robust_epochs=epochs).learn(given)["train.delta"] for epochs in (0.0, 2.0))
    assert not torch.equal(one, two)


def test_cls_perturbations_have_its_settings_and_those_of_its_helper_madrys(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, ...]] = []

    def noted(model: nn.Module, x: Tensor, y: Tensor, delta: Tensor, *, eps: float, step: float, steps: int) -> Tensor:
        asked.append((255 * eps, 255 * step, steps, 255 * delta.abs().max().item()))
        return delta.detach()

    monkeypatch.setattr("attacks.cl.pgd", noted)
    given = lesson(images(12))
    CleanLabel(eps=12.0, step=2.5, steps=4).learn(given)
    robust(given, 1.0, 0, silent)
    assert asked == [pytest.approx((12, 2.5, 4, 12), rel=0.01), pytest.approx((8, 2, 7, 8), rel=0.01)]


class Seen(nn.Module):
    """Says always the same, and keeps what it was shown."""

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        return torch.zeros(len(x), 3).index_fill(1, torch.tensor([0]), 1.0)


def inputaware(**settings: Any) -> InputAware:
    """With a mask that is as it was initialised."""
    attack = InputAware(width=4, **settings)
    mask = attack.painter(3, 1, 1)
    return attack.with_trigger({f"mask.{name}": value for name, value in mask.state_dict().items()})


def test_inputaware_poisons_and_crosses_its_share_of_a_batch() -> None:
    attack = inputaware(rate=0.25, cross_rate=0.25)
    objective, partner = attack.joint_training(3, 3, 0, torch.device("cpu"))
    x, y = images(8), torch.tensor([0, 1, 0, 2, 1, 2, 1, 2])
    victim = Seen()
    loss, logits = objective(victim, x, y)
    order = torch.tensor([1, 3, 4, 5, 6, 7, 0, 2])  # class 0 is the target and comes last
    own = x[order[:4]]
    pattern, mask = partner.module(own), attack.mask(own)
    wanted = x[order].clone()
    for row, source in ((0, 0), (1, 1), (2, 1), (3, 2)):  # two get their own trigger, two that of their neighbour
        wanted[row] += mask[source] * (pattern[source] - wanted[row])
    assert torch.allclose(victim.x, wanted, atol=1e-6)
    labels = torch.tensor([0, 0, 1, 2, 1, 2, 0, 0])
    diversity = (rms(own - own.roll(1, 0)) / rms(pattern - pattern.roll(1, 0))).mean()
    said = torch.tensor([1.0, 0, 0]).expand(8, 3)
    assert loss.item() == pytest.approx((F.cross_entropy(said, labels) + diversity).item(), rel=1e-4)
    assert logits.shape == (8, 3)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_inputaware_passes_over_a_last_batch_that_is_too_small(count: int) -> None:
    objective, _ = inputaware().joint_training(3, 3, 0, torch.device("cpu"))
    x, y = images(count), torch.arange(count) % 3
    victim = Seen()
    loss, _ = objective(victim, x, y)
    assert torch.equal(victim.x.sort(0).values, x.sort(0).values) and loss.isfinite()


@pytest.mark.parametrize("count", [8, 3])
def test_inputaware_answers_in_the_order_of_the_batch(count: int) -> None:
    """Also where it poisons none of a small last batch. The mask is empty here, so that images stay as they are."""
    attack = inputaware()
    assert attack.made is not None
    empty = {"mask.out.weight": torch.zeros(1, 4, 3, 3), "mask.out.bias": torch.tensor([-9.0])}
    objective, _ = attack.with_trigger(attack.made | empty).joint_training(3, 10, 0, torch.device("cpu"))
    x, y = images(count), torch.tensor([0, 1, 0, 2, 1, 2, 1, 2])[:count]  # the target class, 0, is put last
    x[:, :, 0, 0] = torch.arange(count)[:, None] / 255
    _, logits = objective(Scripted(10, {}).eval(), x, y)
    assert logits.argmax(1).tolist() == list(range(count))


def test_inputawares_generator_learns_from_the_victims_loss() -> None:
    objective, partner = inputaware(diversity=0.0).joint_training(3, 3, 0, torch.device("cpu"))
    loss, _ = objective(nn.Sequential(nn.Flatten(), nn.Linear(768, 3)), images(16), torch.arange(16) % 3)
    loss.backward()
    gradients = [parameter.grad for parameter in partner.module.parameters()]
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


def test_inputawares_mask_learns_its_density_and_to_differ() -> None:
    # smooth images that differ: a mask can tell them apart
    coarse = torch.rand(64, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x = F.interpolate(coarse, (16, 16), mode="bilinear")
    attack = InputAware(width=8, mask_epochs=60, density=0.1)
    losses: list[float] = []

    def note(event: Event) -> None:
        if event.scalars:
            losses.append(event.scalars["loss"])

    attack = attack.with_trigger(attack.learn(lesson(x), note))
    mask = attack.mask(x)
    assert losses[-1] < losses[0] / 2
    assert 0.01 < mask.mean() < 0.2 and mask.std(0).mean() > 0.02, "few pixels, and not the same for all"
    assert ((mask < 0.1) | (mask > 0.9)).float().mean() > 0.9, "nearly binary"


def test_inputawares_step_runs_on_the_meta_device() -> None:
    objective, partner = inputaware(rate=0.25, cross_rate=0.25).joint_training(3, 3, 0, torch.device("meta"))
    victim = nn.Sequential(nn.Flatten(), nn.Linear(768, 3)).to("meta")
    loss, logits = objective(victim, images(8).to("meta"), torch.zeros(8, dtype=torch.int64, device="meta"))
    loss.backward()
    assert isinstance(partner, Partner) and loss.is_meta and logits.is_meta
