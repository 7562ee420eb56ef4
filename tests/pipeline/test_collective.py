"""What ranks divide among them, and what is sent to them: a victim as architecture and weights, an attack with its
trigger."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import ATTACK, made, untrained

from attacks import ATTACKS, Attack, BadNets, poison, stamped
from nba_cli.data import Data, FashionMini, Splits
from nba_cli.data.mapped import Mapped, mapped
from nba_cli.defenses import Defense, Evidence
from nba_cli.devices import Precision
from nba_cli.errors import Refused
from nba_cli.metrics import Meter
from nba_cli.pipeline import cleaning, collective
from nba_cli.pipeline.collective import Copied
from nba_cli.pipeline.workbench import Workbench
from nba_cli.ranks import ALONE, Ranks
from nba_cli.runs.settings import AttackRun, DefendRun
from nba_cli.training import Plan, Progress, silent
from nba_cli.victims import MobileNetV2, Network, Victim, WideResNet


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


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "images"])  # which has files of the user's
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
    collective.train(ranks, copied, ATTACK, (torch.arange(0), ""), run, cpu, torch.float32, poisoned=tiny)
    assert seen == trained
    seen.clear()
    collective.measure(ranks, copied, ATTACK, tiny, run.dataset, cpu, torch.float32)
    assert seen == measured


def test_a_rank_that_is_given_no_images_poisons_its_own(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Copied(network=untrained(tiny), victim=WideResNet(depth=10), num_classes=3, shape=(3, 16, 16))
    run = AttackRun(attack=ATTACK, victim=fresh.victim, dataset=FashionMini(), train=Plan(steps=1), seed=4)
    index, given = torch.tensor([1, 4, 8]), []
    monkeypatch.setattr(FashionMini, "load", lambda self: Splits(tiny, tiny, 3))
    monkeypatch.setattr(collective, "fit", lambda network, data, *rest, **more: given.append(data))
    shared = (fresh, ATTACK, (index, tiny.digest()), run, torch.device("cpu"), torch.float32)
    collective.train(Ranks(1, 2), *shared)
    (poisoned,) = given
    assert poisoned.digest() == poison(ATTACK, tiny, index, 3, seed=4).digest() != tiny.digest()
    monkeypatch.setattr(FashionMini, "load", lambda self: Splits(tiny[torch.arange(100)], tiny, 3))
    with pytest.raises(Refused, match="rank 1: its training set is not that of rank 0"):
        collective.train(Ranks(1, 2), *shared)


def test_a_set_in_a_file_arrives_as_the_same_file(tmp_path: Path, tiny: Data) -> None:
    file = tmp_path / "pixels"
    file.write_bytes(tiny.images.numpy().tobytes())
    buffer = io.BytesIO()
    torch.save(Mapped(mapped(file, tiny.images.shape), tiny.labels, file), buffer)
    assert len(buffer.getvalue()) < tiny.images.numel() / 10, "its pixels are not sent"
    arrived = torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert isinstance(arrived, Mapped) and arrived.digest() == tiny.digest()


def test_defense_and_figures_are_computed_in_the_precision_of_the_run(
    tiny: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.dtype] = []

    class Noting(Defense):
        def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
            seen.append(evidence.dtype)
            return evidence.model

    def measured(network: Network, test: Data, attack: Attack, num_classes: int, dtype: torch.dtype, *_: Any) -> dict:
        seen.append(dtype)
        return {}

    monkeypatch.setattr("nba_cli.metrics.backdoor.measure", measured)
    run = DefendRun(
        attack=BadNets(), victim=WideResNet(depth=10), dataset=FashionMini(), train=Plan(epochs=1), defense=Noting()
    )
    bench = Workbench(
        stage="defend",
        run=run,
        out=tmp_path,
        device=torch.device("cpu"),
        precision=Precision.bf16,
        splits=Splits(tiny, tiny, 3),
    )
    network, _ = cleaning.run_defense(bench, untrained(tiny), tiny, silent)
    bench.measure(network, run.attack)
    assert seen == [torch.bfloat16, torch.bfloat16]
