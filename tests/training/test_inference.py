"""Predictions."""

from __future__ import annotations

import torch
from builders import Scripted, images_of

from nba_cli.data import Data
from nba_cli.training import predict
from nba_cli.victims import WideResNet


def test_predict_keeps_the_mode_and_ignores_the_batch_size() -> None:
    model, test = Scripted(4, {}), images_of([0, 1, 2, 3, 2])
    assert torch.equal(predict(model.train(), test.images, batch=2), test.labels)
    assert model.training


def test_predict_runs_on_the_meta_device(tiny: Data) -> None:
    network = WideResNet(depth=10).build(3, tiny).to("meta")
    assert predict(network, tiny.images[:8].to("meta"), batch=4).is_meta
