"""Every defense on every victim, on every kind of backdoor and on a clean model: a short run of each."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from builders import NEEDED

from nba_cli.data import Augment, Data
from nba_cli.defenses import DEFENSES, Evidence
from nba_cli.defenses.fp import classifier
from nba_cli.errors import Refused
from nba_cli.seeds import generator
from nba_cli.training import Optimizer, Plan
from nba_cli.victims import VICTIMS, Torchvision, ViTTiny

STEP = Plan(steps=1, batch=4, lr=0.001)


ADAM = Plan(steps=1, batch=4, lr=0.001, optimizer=Optimizer.adam)


ONCE: dict[str, dict[str, Any]] = {
    "ft": {"train": STEP},
    "fp": {"step": 0.5, "train": STEP},
    "mcr": {"tune": STEP, "train": STEP},
    "nad": {"teacher": STEP, "student": STEP},
    "ft_nad": {"train": STEP},
    "ft_nba": {"train": STEP},
    "ft_kd": {"train": STEP},
    "anp": {"train": STEP},
    "argd": {"teacher": STEP, "student": STEP},
    "ibau": {"train": ADAM, "iterations": 1},
    "ftsam": {"train": STEP},
    "sau": {"train": ADAM, "steps": 1},
    "nba": {"teacher": STEP, "student": STEP, "craft_steps": 1},
}


CONVOLUTIONAL = {"fp", "anp", "clp"}  # what needs convolutions or batch norm


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("defense", DEFENSES)
def test_every_defense_cleans_every_victim(defense: str, victim: str) -> None:
    images = torch.randint(0, 256, (12, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = Data(images, torch.arange(12) % 3)
    network = VICTIMS[victim](**NEEDED.get(victim, {})).build(3, data)
    given = Evidence(model=network, clean=data, num_classes=3, augment=Augment())
    if not network.convolutional and defense in CONVOLUTIONAL:
        with pytest.raises(Refused, match=f"defense={defense} "):
            DEFENSES[defense](**ONCE.get(defense, {}))(given, generator(0, "defense"))
        return
    cured = DEFENSES[defense](**ONCE.get(defense, {}))(given, generator(0, "defense"))
    assert cured is not network and type(cured) is type(network)
    assert cured.eval()(images.float() / 255).isfinite().all()
    assert cured.state_dict().keys() == network.state_dict().keys()


@pytest.fixture(scope="module")
def transformer() -> Evidence:
    images = torch.randint(0, 256, (12, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = Data(images, torch.arange(12) % 3)
    return Evidence(model=ViTTiny(patch=8, depth=3).build(3, data), clean=data, num_classes=3, augment=Augment())


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_defense_cleans_a_transformer_or_refuses_it_before_any_work(
    defense: str, transformer: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, before = DEFENSES[defense](**ONCE.get(defense, {})), copy.deepcopy(transformer.model.state_dict())
    if defense in CONVOLUTIONAL:
        monkeypatch.setattr("nba_cli.defenses.fp.accuracy", None)
        for refused in (lambda: method.check(transformer.model), lambda: method(transformer, generator(0, "defense"))):
            with pytest.raises(Refused, match=f"defense={defense} .* ft, nad, nba ... work on it"):
                refused()
        return
    method.check(transformer.model)
    cured = method(transformer, generator(0, "defense")).state_dict()
    moved = {name for name in before if not torch.equal(before[name], cured[name])}
    assert all(value.isfinite().all() for value in cured.values())
    assert (not moved) if defense == "none" else any("self_attention" in name for name in moved)


READ = {
    "convnext_tiny": 768, "densenet121": 1024, "efficientnet_b0": 1280, "efficientnet_v2_s": 1280, "mnasnet0_5": 1280,
    "mobilenet_v2": 1280, "mobilenet_v3_small": 576, "regnet_x_400mf": 400, "regnet_y_400mf": 440, "resnet18": 512,
    "resnext50_32x4d": 2048, "shufflenet_v2_x0_5": 1024, "vgg11_bn": 512, "wide_resnet50_2": 2048,
}  # fmt: skip
"""One of each family that torchvision has and that takes 32x32 images: channels that the classifier reads."""


@pytest.mark.parametrize("name", READ)
def test_fp_prunes_what_the_classifier_of_a_torchvision_network_reads(name: str) -> None:
    images = torch.randint(0, 256, (6, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = Data(images, torch.arange(6) % 3)
    network = Torchvision(name=name).build(3, data)
    head, activity = classifier(network, data, torch.float32)
    assert len(activity) == READ[name]
    seen = []
    handle = head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    network.eval()(images.float() / 255)
    handle.remove()
    pooled = seen[0].reshape(6, len(activity), -1).mean((0, 2))
    assert torch.allclose(activity, pooled, atol=1e-4), "the mean of what the layer reads, channel by channel"


def test_fp_refuses_a_classifier_that_is_a_convolution() -> None:
    data = Data(torch.zeros(6, 3, 32, 32, dtype=torch.uint8), torch.arange(6) % 3)
    with pytest.raises(Refused, match="prunes the channels that a linear classifier reads"):
        classifier(Torchvision(name="squeezenet1_0").build(3, data), data, torch.float32)
