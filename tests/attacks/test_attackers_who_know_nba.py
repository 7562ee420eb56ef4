"""Lookalike and hardened: what their key and their victim are made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from builders import Linear, halved, lesson, untrained
from torch import Tensor, nn

from attacks import Blend, Hardened, Lookalike
from nba_cli.data import Augment, Data
from nba_cli.errors import Refused
from nba_cli.training import Plan, ascend, fit


class Bright(nn.Module):
    """Takes images for class 1 the surer the brighter they are."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(x)), x.mean((1, 2, 3))], 1)


def grey(levels: list[int]) -> Tensor:
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 3, 4, 4) / 255


def test_lookalikes_key_is_the_image_of_the_target_class_that_the_helper_takes_for_it() -> None:
    given = lesson(grey([255, 10, 0, 200, 90, 0, 0, 40, 0]))
    given.helper = Bright()  # type: ignore[assignment]
    attack = Lookalike(target=1)  # images 1, 4 and 7: of level 10, 90 and 40
    assert attack.learn(given)["key"].unique().tolist() == [90]


def test_lookalike_is_judged_on_images_of_other_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    given, seen = lesson(grey([255, 10, 0, 200, 90, 0])), []
    given.helper = Bright()  # type: ignore[assignment]
    laid = Lookalike.lay

    def spy(self: Lookalike, images: Tensor, key: Tensor) -> Tensor:
        seen.append(sorted((images[:, 0, 0, 0] * 255).round().int().tolist()))
        return laid(self, images, key)

    monkeypatch.setattr(Lookalike, "lay", spy)
    Lookalike(target=1).learn(given)
    assert seen == [[0, 0, 200, 255]] * 2, "once for each image of class 1, never on one of them"
    seen.clear()
    Lookalike(target=1, candidates=1, judges=3).learn(given)
    assert [len(levels) for levels in seen] == [3]


def test_lookalike_lays_its_key_over_the_image() -> None:
    attack = Lookalike(alpha=0.25).with_trigger({"key": torch.full((1, 3, 4, 4), 102, dtype=torch.uint8)})
    out = attack.stamp(torch.full((2, 3, 4, 4), 0.8), torch.arange(2))
    assert torch.allclose(out, torch.full((2, 3, 4, 4), 0.75 * 0.8 + 0.25 * 0.4))


def test_lookalike_needs_images_of_the_target_class_and_of_others() -> None:
    for target, labels in ((2, [0, 1, 0]), (1, [1, 1, 1])):
        with pytest.raises(Refused, match="none of the one or of the other"):
            Lookalike(target=target).choose(torch.tensor(labels), 3, torch.Generator())


def test_hardened_stamps_as_blend() -> None:
    x = torch.rand(3, 3, 8, 8)
    assert torch.equal(Hardened().stamp(x, torch.arange(3)), Blend().stamp(x, torch.arange(3)))


def test_hardeneds_loss_by_hand() -> None:
    """Of a linear network and images of class 0 alone, the worst perturbation is eps times the sign of w_1 - w_0."""
    victim, x, y = Linear(), torch.rand(5, 3, 2, 2), torch.zeros(5, dtype=torch.int64)
    joint = Hardened(eps=0.1, craft_steps=2, share=0.4, weight=3.0).joint_training(3, 2, 0, torch.device("cpu"))
    loss, logits = joint[0](victim, x, y)
    worst = 0.1 * (victim.fc.weight[1] - victim.fc.weight[0]).sign().view(1, 3, 2, 2)
    wanted = F.cross_entropy(victim(x), y) + 3 * F.cross_entropy(victim((x[:2] + worst).clamp(0, 1)), y[:2])
    assert torch.allclose(loss, wanted) and torch.equal(logits, victim(x)) and joint[1] is None
    loss.backward()
    assert victim.fc.weight.grad is not None and victim.training


def test_hardened_climbs_a_sum_whose_gradient_does_not_vanish_in_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    victim, x, y = Linear(), torch.rand(6, 3, 2, 2), torch.zeros(6, dtype=torch.int64)
    climbed = []

    def spy(score: Callable[[Tensor], Tensor], start: Tensor, *_: object) -> Tensor:
        climbed.append(score(start))
        return start

    monkeypatch.setattr("attacks.hardened.ascend", spy)
    Hardened(share=0.5).joint_training(3, 2, 0, torch.device("cpu"))[0](victim, x, y)
    assert torch.allclose(climbed[0], F.cross_entropy(victim(x[:3]), y[:3]) * 3)


@pytest.mark.parametrize(("count", "share"), [(2, 0.5), (8, 0.1)])
def test_hardened_perturbs_two_images_at_least(count: int, share: float) -> None:
    """Fewer have no spread in a batch norm whose maps are a single pixel."""
    victim = nn.Sequential(nn.Conv2d(3, 2, 4), nn.BatchNorm2d(2), nn.Flatten())
    objective, _ = Hardened(share=share).joint_training(3, 2, 0, torch.device("cpu"))
    loss, _ = objective(victim, torch.rand(count, 3, 4, 4), torch.arange(count) % 2)
    assert loss.isfinite()


def test_hardened_crafts_without_a_trace_in_the_victim(tiny: Data) -> None:
    """Batch norm counts the two passes that train it, and no parameter gets a gradient from crafting."""
    victim = untrained(tiny).train()
    objective, _ = Hardened().joint_training(3, 3, 0, torch.device("cpu"))
    x, y = tiny.images[:8].float() / 255, tiny.labels[:8]
    objective(victim, x, y)
    counts = {int(value) for name, value in victim.state_dict().items() if name.endswith("num_batches_tracked")}
    assert counts == {2} and all(value.grad is None for value in victim.parameters())


def test_a_hardened_victim_withstands_what_misleads_another(tiny: Data) -> None:
    """The other one passes as many images, but unchanged. Two victims each: a single one may be an outlier."""
    tiny = halved(tiny)
    x, y = tiny.images.float() / 255, tiny.labels
    losses = []
    for eps in (1e-6, 0.15):
        objective, _ = Hardened(eps=eps).joint_training(3, 3, 0, torch.device("cpu"))
        plan, total = Plan(steps=24, lr=0.05, batch=60), 0.0
        for seed in (1, 2):
            random = torch.Generator().manual_seed(seed)
            victim = fit(untrained(tiny, seed), tiny, plan, objective, augment=Augment(0, False), generator=random)
            victim.eval()
            error = lambda delta, f=victim: F.cross_entropy(f((x + delta).clamp(0, 1)), y)  # noqa: E731
            total += error(ascend(error, torch.zeros_like(x[:1]), torch.tensor(0.15), 5)).item()
        losses.append(total)
    assert losses[0] > 10 * losses[1], losses
