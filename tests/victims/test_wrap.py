"""A network of one's own as a victim: what cannot be one is said in a sentence that names why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nba_cli.errors import Refused
from nba_cli.victims import wrap

GIVEN: dict[str, Any] = {"mean": [0.5] * 3, "std": [0.25] * 3, "shape": (3, 16, 16)}


class Small(nn.Module):
    """Four convolutions, two resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1))
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, padding=1))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)).mean((2, 3)))


class Masked(Small):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x * mask)


class Lost(Small):
    def forward(self, x: Tensor) -> Tensor:
        return {"y": super().forward(x)}["x"]


class Branching(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.mean() > 0 else -x)


class Named(Small):
    def forward(self, x: Tensor) -> Any:
        return {"logits": super().forward(x)}


class Flat(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean(1)


def test_a_network_that_can_be_one() -> None:
    model = wrap(Small(), **GIVEN)
    assert model.taps == ["first.1", "second.1"] or model.taps == ["first", "second"]


def test_the_normalisation_goes_where_the_network_is() -> None:
    model = wrap(Small().to("meta"), **GIVEN)
    assert {value.device.type for value in model.state_dict().values()} == {"meta"}
    assert model(torch.zeros(2, 3, 16, 16, device="meta")).is_meta


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Masked(), "its forward has to take a batch of images and nothing else (missing a required argument: 'mask')"),
        (Lost(), "its forward fails on images of 16x16 (KeyError: 'x')"),
        (Branching(), "its forward depends on the values of the images, as in `if x.mean() > 0`"),
        (Named(), "its forward returns a dict; a classifier returns its logits [N,K]"),
        (Flat(), "neither a convolutional classifier nor a vision transformer with one output"),
        (nn.Flatten(), "neither a convolutional classifier nor a vision transformer with one output"),
    ],
)
def test_a_network_that_cannot(network: nn.Module, words: str) -> None:
    with pytest.raises(Refused) as caught:
        wrap(network, **GIVEN)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_grey_images_for_a_colour_network() -> None:
    with pytest.raises(Refused, match=r"images of 16x16 do not fit it .*to have 3 channels, but got 1"):
        wrap(Small(), mean=[0.5], std=[0.5], shape=(1, 16, 16))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated")
@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.trace(net, torch.ones(2, 3, 16, 16))])
def test_a_scripted_module(make: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(ValueError, match="a scripted module cannot be taken apart; give the module that it was made"):
        wrap(make(Small()), **GIVEN)


@pytest.mark.parametrize(
    ("network", "changes", "words"),
    [
        ({"conv1.weight": 1}, {}, "network: a torch.nn.Module is needed, not dict"),
        (Small(), {"shape": (16, 16)}, r"shape=\(16, 16\): \(C,H,W\) of the images"),
        (Small(), {"shape": (3, 0, 16)}, r"shape=\(3, 0, 16\)"),
        (Small(), {"mean": [0.5]}, "3 values each, one a channel; std above 0"),
        (Small(), {"std": [0.5, 0.0, 0.5]}, "3 values each, one a channel; std above 0"),
        (Small(), {"std": [0.5, float("nan"), 0.5]}, "3 values each, one a channel; std above 0"),
    ],
)
def test_what_is_given_beside_it(network: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wrap(network, **GIVEN | changes)
