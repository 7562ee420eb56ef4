"""Predictions."""

from __future__ import annotations

import torch
from torch import nn

from nba_cli.data import Data
from nba_cli.training import predict
from nba_cli.victims import WideResNet


class Scripted(nn.Module):
    """Says the class that the first pixel holds, or what `stamped` makes of it where the corner is stamped."""

    def __init__(self, classes: int, stamped: dict[int, int]) -> None:
        super().__init__()
        self.classes, self.stamped = classes, stamped
        self.unused = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training, "measured in eval mode"
        shown = (x[:, 0, 0, 0] * 255).round().long()
        marked = x[:, 0, -1, -1] == 1
        said = torch.tensor(
            [self.stamped.get(int(c), int(c)) if m else int(c) for c, m in zip(shown, marked, strict=True)]
        )
        return nn.functional.one_hot(said, self.classes).float()


def images_of(labels: list[int]) -> Data:
    images = torch.zeros(len(labels), 3, 6, 6, dtype=torch.uint8)
    images[:, :, 0, 0] = torch.tensor(labels)[:, None].to(torch.uint8)
    return Data(images, torch.tensor(labels))


def test_predict_keeps_the_mode_and_ignores_the_batch_size() -> None:
    model, test = Scripted(4, {}), images_of([0, 1, 2, 3, 2])
    assert torch.equal(predict(model.train(), test.images, batch=2), test.labels)
    assert model.training


def test_predict_runs_on_the_meta_device(tiny: Data) -> None:
    network = WideResNet(depth=10).build(3, tiny).to("meta")
    assert predict(network, tiny.images[:8].to("meta"), batch=4).is_meta
