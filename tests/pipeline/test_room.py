"""What a run needs of memory, estimated before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks import BadNets, Helped, Lookalike, Trojan
from nba_cli.data import Data, FashionMini, Splits
from nba_cli.defenses import ANP, FP, NAD
from nba_cli.devices import Precision
from nba_cli.errors import Refused
from nba_cli.pipeline import room, trigger_cache
from nba_cli.pipeline.workbench import Workbench
from nba_cli.runs.settings import AttackRun, DefendRun
from nba_cli.training import Plan
from nba_cli.victims import Torchvision, ViTTiny, WideResNet

CPU = torch.device("cpu")


@pytest.fixture
def splits(tiny: Data) -> Splits:
    return Splits(tiny, tiny, 3)


def attack_run(**changes: object) -> AttackRun:
    given = {"attack": BadNets(), "victim": WideResNet(depth=10), "dataset": FashionMini(), "train": Plan(epochs=1)}
    return AttackRun(**(given | changes))  # type: ignore[arg-type]


def check(stage: str, run: AttackRun, splits: Splits, have: float, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is refused with so many bytes of memory; empty: nothing."""
    monkeypatch.setattr(room, "memory", lambda device: have)
    try:
        room.check(stage, run, splits, CPU, torch.float32)
    except Refused as error:
        return str(error)
    return ""


def test_what_fits_passes(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check("attack", attack_run(), splits, 1e9, monkeypatch) == ""


def test_a_network_that_does_not_fit_is_named_by_its_options(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = sum(each.numel() for each in WideResNet(depth=10).build(3, splits.train).parameters())
    run = attack_run()
    assert check("attack", run, splits, 12 * weights - 1, monkeypatch).startswith(
        f"victim.depth=10: {weights:,} weights"
    )
    assert check("evaluate", run, splits, 4 * weights, monkeypatch) == "", "nothing is trained"
    assert check("evaluate", run, splits, 4 * weights - 1, monkeypatch)
    usual = attack_run(victim=WideResNet())
    assert check("attack", usual, splits, 1, monkeypatch).startswith("victim=wrn: ")


def test_a_batch_that_does_not_fit_is_named(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = (attack_run(train=Plan(epochs=1, batch=batch)) for batch in (2, 10**9))
    assert check("attack", small, splits, 20e6, monkeypatch) == ""
    line = check("attack", large, splits, 20e6, monkeypatch)
    assert line.startswith("train.batch=1000000000: a batch of 240 images takes "), "the set has no more"
    defense = NAD(teacher=Plan(steps=1, batch=2), student=Plan(steps=1, batch=200))
    run = DefendRun(**vars(small), defense=defense)
    run.dataset.clean_ratio = 1.0
    assert check("defend", run, splits, 20e6, monkeypatch).startswith("defense.student.batch=200: ")
    run.dataset.clean_ratio = 0.05
    assert check("defend", run, splits, 20e6, monkeypatch) == "", "there are 12 clean images"


def test_a_process_on_a_gpu_needs_room_for_its_part_of_a_batch(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    network = room.on_meta(WideResNet(depth=10), splits.num_classes, splits.shape)
    weights = sum(each.numel() for each in network.parameters())
    monkeypatch.setattr(room, "memory", lambda device: 12 * weights + 100 * room.kept(network, splits, torch.float32))

    def said(stage: str, run: AttackRun, device: str, processes: int) -> str:
        monkeypatch.setattr(room, "launched", lambda: processes)
        try:
            room.check(stage, run, splits, torch.device(device), torch.float32)
        except Refused as error:
            return str(error)
        return ""

    run = attack_run(train=Plan(epochs=1, batch=128))
    assert said("attack", run, "cuda", 2) == "" != said("attack", run, "cuda", 1)
    assert said("attack", run, "cuda", 70), "fewer than two images each are not divided"
    assert " GB on each of 2 GPUs; " in said("attack", attack_run(train=Plan(epochs=1, batch=240)), "cuda", 2)
    assert said("attack", run, "cpu", 2), "on one machine the processes share its memory"
    cleaning = DefendRun(**vars(run), defense=FP(train=Plan(steps=1, batch=128)))
    cleaning.dataset.clean_ratio = 1.0
    assert said("defend", cleaning, "cuda", 2), "one process alone defends"


def test_a_network_that_is_no_good_without_values_is_not_estimated(
    splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> None:
        torch.linspace(0, 0.2, 4).tolist()  # as the depths of stochastic depth are drawn

    monkeypatch.setattr(WideResNet, "build", build)
    assert check("attack", attack_run(), splits, 1, monkeypatch) == ""


def test_half_the_precision_keeps_half_of_the_numbers(splits: Splits) -> None:
    network = room.on_meta(WideResNet(depth=10), splits.num_classes, splits.shape)
    full, half = (room.kept(network, splits, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert full == 2 * half > 0


def test_what_is_kept_is_what_the_backward_pass_reads() -> None:
    layer = nn.Linear(4, 3, bias=False, device="meta")
    assert room.saved(layer, torch.zeros(5, 4, device="meta")) == 5 * 4


def test_what_two_layers_read_is_kept_once() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = (nn.Linear(4, 3, bias=False, device="meta") for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            return self.left(x) + self.right(x)

    assert room.saved(Two(), torch.zeros(5, 4, device="meta")) == 5 * 4


@pytest.mark.parametrize("victim", [ViTTiny(patch=4, depth=3), ViTTiny(patch=8, depth=4)])
def test_a_transformer_keeps_what_fused_attention_keeps(victim: ViTTiny) -> None:
    """As on this CPU; the meta device alone would keep the weights of all pairs of tokens."""
    splits = Splits(data := Data(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.arange(2)), data, 2)
    x, real = torch.zeros(2, 3, 32, 32), victim.build(2, data)
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        held = real.train()(x)
    found = room.saved(room.on_meta(victim, 2, splits.shape), x.to("meta"))
    assert held.requires_grad and found == pytest.approx(sum(tensor.numel() for tensor in kept.values()), rel=0.01)
    one = torch.ones(1, 1, 2, 2)
    assert F.scaled_dot_product_attention(one, one, one).eq(1).all(), "afterwards all is as before"


def test_a_victim_that_the_defense_cannot_clean_is_refused(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    run = DefendRun(**vars(attack_run(victim=ViTTiny())), defense=ANP())
    assert "defense=anp works on batch-norm layers" in check("defend", run, Splits(tiny, tiny, 3), 1e9, monkeypatch)


def test_the_machine_has_memory() -> None:
    assert room.memory(CPU) > 2**28


def headless() -> tuple[Torchvision, Splits]:
    """A SqueezeNet, whose head is a convolution, and images of a size that suits it."""
    data = Data(torch.zeros(4, 3, 64, 64, dtype=torch.uint8), torch.arange(4) % 2)
    return Torchvision(name="squeezenet1_1"), Splits(data, data, 2)


def test_fp_refuses_a_network_without_a_linear_layer_before_there_are_weights() -> None:
    victim, splits = headless()
    run = DefendRun(**vars(attack_run(victim=victim)), defense=FP())
    with pytest.raises(Refused, match="defense=fp prunes the channels that a linear classifier reads"):
        room.check("defend", run, splits, CPU, torch.float32)


@pytest.mark.parametrize("attack", [Trojan(rate=0.5), Lookalike(target=2)])
def test_what_nothing_can_be_learned_from_is_refused_before_a_helper_is_trained(attack: Helped, tmp_path: Path) -> None:
    """Nothing lies before a linear layer; the class has no image. Where the trigger is given, neither matters."""
    victim, splits = headless()
    run = attack_run(victim=victim, attack=attack)
    room.check("evaluate", run, splits, CPU, torch.float32)
    bench = Workbench(stage="attack", run=run, out=tmp_path, device=CPU, precision=Precision.fp32, splits=splits)
    with pytest.raises(Refused, match=r"attack=trojan|attack\.target=2"):
        trigger_cache.learn(attack, bench, lambda: pytest.fail("a helper is trained"), tmp_path)


def test_a_blank_network_is_the_victim_once_its_weights_are_in_it(tiny: Data) -> None:
    """Which hold its statistics, so the training images need not be read again."""
    victim, x = WideResNet(depth=10), torch.rand(2, 3, 16, 16)
    built, blank = victim.build(3, tiny, seed=4).eval(), victim.blank(3, (3, 16, 16)).eval()
    assert not torch.equal(built(x), blank(x))
    blank.load_state_dict(built.state_dict())
    assert torch.equal(built(x), blank(x))
