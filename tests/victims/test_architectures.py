"""Every victim of the registry."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from builders import NEEDED
from safetensors.torch import load_file, save_file
from torchvision import models

from nba_cli.data import Data
from nba_cli.errors import Refused
from nba_cli.training import Plan, fit, predict
from nba_cli.victims import VICTIMS, Network, Victim, WideResNet, weights
from nba_cli.victims.base import channel_statistics

BUILT: dict[str, Network] = {}


@pytest.fixture(params=VICTIMS)
def victim(request: pytest.FixtureRequest) -> Victim:
    return VICTIMS[request.param](**NEEDED.get(request.param, {}))


@pytest.fixture
def network(victim: Victim, tiny: Data) -> Network:
    """For three classes, of seed 0: built once for all tests, each of which has a copy."""
    if victim.label not in BUILT:
        BUILT[victim.label] = victim.build(3, tiny)
    return copy.deepcopy(BUILT[victim.label])


@pytest.fixture(scope="module")
def tiny() -> Data:  # type: ignore[no-redef]
    """32x32, unlike the tiny set of the other tests: VGG halves its maps five times."""
    images = torch.randint(0, 256, (48, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Data(images, torch.arange(48) % 3)


def test_logits_and_stage_features_come_from_one_pass(victim: Victim, tiny: Data) -> None:
    network = victim.build(7, tiny)
    calls = []
    network.normalise.register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr]
    x = tiny.images[:4].float() / 255
    stages, logits = network.eval().features(x)
    assert len(calls) == 1
    assert logits.shape == (4, 7) and torch.equal(logits, network(x))
    assert len(stages) >= 3 and all(stage.ndim == 4 and len(stage) == 4 for stage in stages)
    sides = [stage.shape[2] for stage in stages]
    assert sides == sorted(sides, reverse=True)
    if victim.label.startswith(("wrn", "resnet", "preact", "mobilenet")):
        assert sides[0] == 32, "a CIFAR stem keeps the resolution"
    assert stages[-1].shape[2] > 1, "a map, not a pooled vector"


def test_build_is_seeded_and_leaves_the_global_state_alone(victim: Victim, network: Network, tiny: Data) -> None:
    state = torch.random.get_rng_state()
    one, same, other = (each.state_dict() for each in (network, victim.build(3, tiny), victim.build(3, tiny, 1)))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_one_training_step_moves_every_parameter(network: Network, tiny: Data) -> None:
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    small = tiny[torch.arange(8)]
    fit(network, small, Plan(steps=1, lr=0.1), augment=lambda x, _: x.float() / 255, generator=torch.Generator())
    assert all(not torch.equal(before[name], value) for name, value in network.named_parameters())


def test_save_and_load_give_the_same_predictions(victim: Victim, network: Network, tiny: Data, tmp_path: Path) -> None:
    weights.save(network, tmp_path / "model.safetensors")
    other = victim.build(3, tiny, seed=2)
    weights.load(other, tmp_path / "model.safetensors")
    assert torch.equal(predict(network, tiny.images[:32]), predict(other, tiny.images[:32]))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"], "no part file stays"


def test_runs_on_the_meta_device(network: Network) -> None:
    network.to("meta")
    stages, logits = network.features(torch.rand(2, 3, 32, 32, device="meta"))
    assert logits.is_meta and all(stage.is_meta for stage in stages)
    assert all(tensor.is_meta for tensor in network.state_dict().values())


def test_normalisation_lives_inside_the_model(network: Network, tiny: Data) -> None:
    pixels = tiny.images.double() / 255
    state = network.state_dict()
    assert torch.allclose(state["normalise.mean"].flatten().double(), pixels.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(state["normalise.std"].flatten().double(), pixels.std((0, 2, 3), correction=0), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 7, 47, 48, 49])
def test_channel_statistics_do_not_depend_on_the_batch(tiny: Data, batch: int) -> None:
    counts = torch.stack([channel.flatten().bincount(minlength=256) for channel in tiny.images.unbind(1)]).double()
    levels, total = torch.arange(256, dtype=torch.float64) / 255, counts.sum(1)
    mean = (counts * levels).sum(1) / total
    std = ((counts * (levels - mean[:, None]) ** 2).sum(1) / total).sqrt()
    found = channel_statistics(tiny.images, batch)
    assert torch.equal(found[0], mean) and torch.equal(found[1], std), "to the last bit"


def test_channel_statistics_copy_a_batch_at_a_time(monkeypatch: pytest.MonkeyPatch, tiny: Data) -> None:
    sizes, true = [], torch.Tensor.bincount

    def spy(pixels: torch.Tensor, minlength: int) -> torch.Tensor:
        sizes.append(len(pixels))
        return true(pixels, minlength=minlength)

    monkeypatch.setattr(torch.Tensor, "bincount", spy)
    channel_statistics(tiny.images, batch=20)
    assert sizes == [20 * 1024] * 6 + [8 * 1024] * 3


def test_a_constant_channel_does_not_divide_by_zero() -> None:
    mean, std = channel_statistics(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
    assert mean.tolist() == [0] and std.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "keys", "parameters"),
    [
        # parameter counts with ten classes, worked out layer by layer
        (
            "wrn",
            {
                "conv1.weight",
                "block1.layer.0.bn1.weight",
                "block2.layer.0.convShortcut.weight",
                "bn1.bias",
                "fc.weight",
            },
            175_066,
        ),
        (
            "preact_resnet18",
            {"conv1.weight", "layer1.0.bn1.weight", "layer4.0.shortcut.0.weight", "linear.bias"},
            11_171_146,
        ),
    ],
)
def test_parameter_names_are_the_public_ones(name: str, keys: set[str], parameters: int, tiny: Data) -> None:
    network = VICTIMS[name]().build(10, tiny)
    assert keys <= network.state_dict().keys()
    assert sum(value.numel() for value in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("maxvit_t", r"images of 32x32 do not fit it \(ValueError: Input size \(8, 8\) of block 0 is not divisible"),
        ("alexnet", "images of 32x32 do not fit it"),
        ("resnet19", "has no such classifier. Did you mean 'resnet1"),
    ],
)
def test_what_torchvision_cannot_offer_is_refused(name: str, message: str, tiny: Data) -> None:
    with pytest.raises(Refused, match=message) as caught:
        VICTIMS["torchvision"](name=name).build(3, tiny)  # type: ignore[call-arg]
    assert "\n" not in str(caught.value)


def test_tapped_networks_keep_torchvisions_names_and_survive_a_copy(tiny: Data) -> None:
    network = VICTIMS["torchvision"](name="resnet18").build(3, tiny)  # type: ignore[call-arg]
    plain = models.resnet18(num_classes=3)
    assert set(network.state_dict()) - {"normalise.mean", "normalise.std"} == set(plain.state_dict())
    plain.load_state_dict(network.state_dict(), strict=False)
    x = tiny.images[:4].float() / 255
    copied = copy.deepcopy(network.eval())
    with torch.no_grad():
        assert torch.allclose(plain.eval()(network.normalise(x)), network(x), atol=1e-5)  # type: ignore[operator]
        for parameter in copied.parameters():
            parameter.zero_()
        stages, _ = copied.features(x)
    assert not stages[0].any(), "a copy taps itself, not its original"


def test_a_tap_is_the_last_output_of_its_resolution(tiny: Data) -> None:
    network = VICTIMS["resnet"]().build(3, tiny)
    assert network.taps == ["layer1", "layer2", "layer3", "layer4"]


def test_wrn_depth_is_checked_and_named() -> None:
    assert WideResNet(depth=28, width=10).label == "wrn_28_10"
    with pytest.raises(Refused, match=r"depth=17: a wide residual network has 6n \+ 4 layers"):
        WideResNet(depth=17)
    with pytest.raises(Refused, match="width"):
        WideResNet(width=0)


def test_weights_that_do_not_fit_name_the_first_tensors(tiny: Data, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    weights.save(WideResNet().build(3, tiny), file)
    with pytest.raises(Refused, match=r"tensors do not fit this victim \(block1.*file \(16,.*victim \(32"):
        weights.load(WideResNet(width=2).build(3, tiny), file)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(Refused, match="not a readable safetensors file"):
        weights.load(WideResNet().build(3, tiny), file)
    with pytest.raises(Refused, match="no such file"):
        weights.load(WideResNet().build(3, tiny), tmp_path / "absent")


def test_public_weights_without_normalisation_take_the_data_sets(tiny: Data, tmp_path: Path) -> None:
    network = WideResNet().build(3, tiny, seed=1)
    public = {key: value.contiguous() for key, value in network.state_dict().items() if "normalise" not in key}
    save_file(public, tmp_path / "public.safetensors")
    other = WideResNet().build(3, tiny, seed=2)
    weights.load(other, tmp_path / "public.safetensors")
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in network.state_dict().items())


def test_channels_last_weights_are_saved(tiny: Data, tmp_path: Path) -> None:
    network = WideResNet().build(3, tiny)
    assert network.conv1.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr]
    weights.save(network, tmp_path / "m")
    assert torch.equal(load_file(tmp_path / "m")["conv1.weight"], network.state_dict()["conv1.weight"])


def test_a_run_without_a_network_of_torchvision_does_not_import_it() -> None:
    """It takes longer to import than PyTorch, in each process of a sweep."""
    code = "import sys, nba_cli.cli.tasks; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
