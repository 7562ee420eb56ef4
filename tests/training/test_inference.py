"""Predictions."""

from __future__ import annotations

import pytest
import torch
from builders import Scripted, images_of

from nba_cli.data import Data
from nba_cli.training import predict
from nba_cli.training.inference import batch_size
from nba_cli.victims import WideResNet


def test_predict_keeps_the_mode_and_ignores_the_batch_size() -> None:
    model, test = Scripted(4, {}), images_of([0, 1, 2, 3, 2])
    assert torch.equal(predict(model.train(), test.images, batch=2), test.labels)
    assert model.training


def test_predict_leaves_a_layer_in_the_mode_that_it_alone_is_in(tiny: Data) -> None:
    network = WideResNet(depth=10).build(3, tiny).train()
    network.bn1.eval()  # type: ignore[union-attr]
    predict(network, tiny.images[:8])
    assert network.training and network.conv1.training and not network.bn1.training  # type: ignore[union-attr]


def test_predict_runs_on_the_meta_device(tiny: Data) -> None:
    network = WideResNet(depth=10).build(3, tiny).to("meta")
    assert predict(network, tiny.images[:8].to("meta"), batch=4).is_meta


@pytest.mark.parametrize(("device", "side", "together"), [("cpu", 32, 125), ("cpu", 64, 31), ("cuda", 32, 1000),
                                                          ("cuda", 224, 20), ("cpu", 4096, 1)])  # fmt: skip
def test_larger_images_pass_in_smaller_batches(device: str, side: int, together: int) -> None:
    images = torch.zeros(1, 3, side, side, dtype=torch.uint8, device="meta")
    assert batch_size(images, torch.device(device)) == together


def test_predict_keeps_to_the_batch_size(tiny: Data) -> None:
    network, seen = WideResNet(depth=10).build(3, tiny), []
    network.register_forward_hook(lambda module, given, out: seen.append(len(out)))
    images = tiny.images[:1].repeat(1001, 1, 2, 2)  # 32x32
    predict(network, images)
    assert seen == [125] * 8 + [1]


def test_predict_computes_in_the_precision_that_is_asked_for(tiny: Data) -> None:
    network, seen = WideResNet(depth=10).build(3, tiny), []
    network.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    for dtype in (torch.bfloat16, torch.float32):
        predict(network, tiny.images[:4], dtype)
    assert seen == [torch.bfloat16, torch.float32]
