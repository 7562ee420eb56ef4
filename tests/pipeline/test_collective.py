"""What ranks divide among them, and what is sent to them: a victim as architecture and weights, an attack with its
trigger."""

from __future__ import annotations

import io

import pytest
import torch
from builders import ATTACK, made, untrained

from attacks import ATTACKS, stamped
from nba_cli.data import Data, FashionMini
from nba_cli.metrics import Meter
from nba_cli.pipeline import collective
from nba_cli.pipeline.collective import Copied
from nba_cli.ranks import ALONE, Ranks
from nba_cli.runs.settings import AttackRun
from nba_cli.training import Plan
from nba_cli.victims import MobileNetV2, Victim, WideResNet


def sent(value: object) -> object:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)


@pytest.mark.parametrize("victim", [WideResNet(depth=10), MobileNetV2()], ids=lambda victim: victim.label)
def test_a_network_arrives_as_it_is_but_for_what_hangs_on_it(victim: Victim, tiny: Data) -> None:
    network = victim.build(3, tiny, seed=5).eval()
    meter = Meter(network)
    arrived = sent(Copied(network=network, victim=victim, num_classes=3, shape=(3, 16, 16)))
    assert isinstance(arrived, Copied) and arrived.victim == victim and arrived.shape == (3, 16, 16)
    images = tiny.images[:8].float() / 255
    with torch.inference_mode():
        assert torch.equal(arrived.network.eval()(images), network(images))
    assert meter.counts["forward"] == 8, "the copy is not counted"


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_arrives_with_its_trigger(name: str, tiny: Data) -> None:
    index = torch.arange(4)
    attack = made(name, tiny.images[:12].float() / 255)
    arrived = sent(attack)
    assert torch.equal(stamped(arrived, tiny.images[index], index), stamped(attack, tiny.images[index], index))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ranks", "trained", "measured"),
    [(ALONE, [40, 40], [240, 160]), (Ranks(0, 2), [20, 20], [240, 160]), (Ranks(1, 2), [20, 20], [])],
)
def test_a_rank_computes_its_part(
    ranks: Ranks, trained: list[int], measured: list[int], tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of batches of 40 images, and of a batch each of test images and of triggered ones."""
    monkeypatch.setattr(Ranks, "sum", lambda self, tensor: tensor)
    monkeypatch.setattr(Ranks, "broadcast", lambda self, value: value)
    seen: list[int] = []
    network, cpu = untrained(tiny), torch.device("cpu")
    network.register_forward_hook(lambda module, given, out: seen.append(len(out)))
    copied = Copied(network=network, victim=WideResNet(depth=10), num_classes=3, shape=(3, 16, 16))
    run = AttackRun(attack=ATTACK, victim=copied.victim, dataset=FashionMini(crop=1), train=Plan(steps=2, batch=40))
    collective.train(ranks, copied, ATTACK, tiny, run, cpu, torch.float32)
    assert seen == trained
    seen.clear()
    collective.measure(ranks, copied, ATTACK, tiny, run.dataset, cpu, torch.float32)
    assert seen == measured
