"""CLP: its bound, and the channels that it zeroes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from builders import untrained, untrained_evidence
from torch import Tensor, nn

from nba_cli.data import Data
from nba_cli.defenses import CLP
from nba_cli.defenses.clp import lipschitz, readers
from nba_cli.victims import Network


def test_clps_bound_against_numpy(tiny: Data) -> None:
    conv, norm = nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4)
    assert norm.running_var is not None
    norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(0))
    norm.weight.data.uniform_(-2, 2, generator=torch.Generator().manual_seed(1))
    found = lipschitz(conv, norm).tolist()
    for k in range(4):
        sigma = np.linalg.svd(conv.weight[k].detach().numpy().reshape(5, 9), compute_uv=False)[0]
        wanted = sigma * abs(norm.weight[k].item()) / math.sqrt(norm.running_var[k].item() + norm.eps)
        assert found[k] == pytest.approx(wanted, rel=1e-4)


def test_clp_zeroes_the_channel_that_stands_out_and_no_other(tiny: Data) -> None:
    given = untrained_evidence(tiny)
    norm = given.model.get_submodule("block2.layer.0.bn2")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.weight.data[7] *= 50
    for module in given.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data.fill_(0.5)
    cured = CLP(u=3)(given, torch.Generator())
    changed = {name: (value != given.model.get_parameter(name)).flatten().nonzero().flatten().tolist()
               for name, value in cured.named_parameters()}  # fmt: skip
    assert changed.pop("block2.layer.0.bn2.weight") == [7]
    assert changed.pop("block2.layer.0.bn2.bias") == [7]
    assert cured.get_parameter("block2.layer.0.bn2.weight")[7] == cured.get_parameter("block2.layer.0.bn2.bias")[7] == 0
    assert not any(changed.values()), changed


def test_clp_pairs_a_batch_norm_with_the_convolution_that_it_reads(tiny: Data) -> None:
    model = untrained(tiny)
    names = {module: name for name, module in model.named_modules()}
    pairs = {names[norm]: names[conv] for conv, norm in readers(model, tiny.images[:1].float() / 255)}
    assert pairs["block2.layer.0.bn2"] == "block2.layer.0.conv1"
    assert pairs["block1.layer.0.bn1"] == "conv1", "the stem"
    assert pairs["block2.layer.0.bn1"] == "block1.layer.0.conv2", "the convolution that was added last to the sum"
    assert pairs["bn1"] == "block3.layer.0.conv2"
    assert len(pairs) == sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()), "none is left out"


class Joined(Network):
    """The second batch norm reads two convolutions side by side, as in a DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 1)
        self.own, self.both = nn.BatchNorm2d(2), nn.BatchNorm2d(4)

    def stages(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        first = self.one(x)
        maps = self.both(torch.cat([first, self.two(self.own(first))], 1))
        return [maps], maps.mean((2, 3))


def test_clp_leaves_out_a_batch_norm_of_another_number_of_channels(tiny: Data) -> None:
    model = Joined()
    assert readers(model, tiny.images[:1].float() / 255) == [(model.one, model.own)]
