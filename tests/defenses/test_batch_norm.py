"""Statistics of batch norm: fresh ones, and frozen ones."""

from __future__ import annotations

import torch
from torch import nn

from nba_cli.data import Data, to_float
from nba_cli.defenses._batch_norm import frozen_statistics, refresh_statistics
from nba_cli.defenses.fp import classifier
from nba_cli.victims import WideResNet


def test_fresh_statistics_are_those_of_the_data(tiny: Data) -> None:
    model = nn.Sequential(nn.BatchNorm2d(3)).eval()
    refresh_statistics(model, tiny, to_float, torch.float32, batch=60)
    x = tiny.images.float() / 255
    norm = model[0]
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    assert torch.allclose(norm.running_mean, x.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, x.var((0, 2, 3)), rtol=0.01)
    assert norm.momentum == 0.1 and not model.training
    refresh_statistics(model, tiny, lambda images: 0.5 * to_float(images), torch.float32, batch=60)
    assert torch.allclose(norm.running_mean, 0.5 * x.mean((0, 2, 3)), atol=1e-5), "as the model sees the data"
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3)).eval()
    one_left = len(tiny) - 1  # on maps of one pixel
    refresh_statistics(pooled, tiny, to_float, torch.float32, batch=one_left)


def test_still_leaves_the_running_statistics_alone(tiny: Data) -> None:
    network = WideResNet(depth=10).build(3, tiny).train()
    x = tiny.images[:16].float() / 255
    before = {key: value.clone() for key, value in network.state_dict().items() if "running" in key}
    with frozen_statistics(network):
        inside = network(x)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())
    assert torch.equal(inside, network(x)), "the output is that of training mode"
    assert any(not torch.equal(value, network.state_dict()[key]) for key, value in before.items())


def test_fewer_large_images_pass_at_a_time(tiny: Data) -> None:
    large = Data(tiny.images.repeat(1, 1, 6, 6), tiny.labels)  # 96x96: as much memory as nine of 32x32
    model, seen = WideResNet(depth=10).build(3, tiny), []
    model.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    classifier(model, large[torch.arange(30)], torch.float32, batch=90)
    assert seen == [10] * 3
