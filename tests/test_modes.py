"""Who sets a network to training or eval mode gives every layer its own mode back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from builders import untrained
from torch import Tensor, nn

from attacks import Hardened
from nba_cli.data import Data, to_float
from nba_cli.defenses import IBAU, SAU
from nba_cli.defenses._batch_norm import refresh_statistics
from nba_cli.defenses._watching import watched
from nba_cli.defenses.clp import readers
from nba_cli.defenses.fp import classifier
from nba_cli.modes import in_mode
from nba_cli.victims import Network


def mixed(tiny: Data) -> Network:
    """In training mode, but for one layer."""
    model = untrained(tiny).train()
    model.get_submodule("bn1").eval()
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("training", [True, False])
def test_all_layers_are_in_a_mode_and_then_in_their_own_even_after_an_error(tiny: Data, training: bool) -> None:
    model = mixed(tiny)
    before = modes(model)
    with pytest.raises(ZeroDivisionError), in_mode(model, training):
        assert set(modes(model)) == {training}
        raise ZeroDivisionError
    assert modes(model) == before


def test_nobody_watches_any_more_after_an_error(tiny: Data) -> None:
    model, seen = mixed(tiny), []
    before = modes(model)
    with pytest.raises(ZeroDivisionError), watched(model, lambda module, given, out: seen.append(module)):
        model(to_float(tiny.images[:2]))
        raise ZeroDivisionError
    passed = len(seen)
    model(to_float(tiny.images[:2]))
    assert passed and len(seen) == passed and modes(model) == before


def unlearn(model: Network, data: Data, x: Tensor) -> None:
    SAU(steps=1).objective(untrained(data, 1).eval())(model, x, data.labels[: len(x)])


def correct(model: Network, data: Data, x: Tensor) -> None:
    IBAU(iterations=1).objective(model, x, data.labels[: len(x)], iter([torch.zeros_like(x[:1])]))


def harden(model: Network, data: Data, x: Tensor) -> None:
    objective, _ = Hardened(craft_steps=1).joint_training(3, 3, 0, torch.device("cpu"))
    objective(model, x, data.labels[: len(x)])


CALLERS: dict[str, Callable[[Network, Data, Tensor], object]] = {
    "fp": lambda model, data, x: classifier(model, data, torch.float32),
    "clp": lambda model, data, x: readers(model, x),
    "statistics": lambda model, data, x: refresh_statistics(model, data, to_float, torch.float32),
    "sau": unlearn,
    "ibau": correct,
    "hardened": harden,
}


@pytest.mark.parametrize("name", CALLERS)
def test_a_layer_stays_in_the_mode_that_it_alone_is_in(tiny: Data, name: str) -> None:
    model = mixed(tiny)
    before = modes(model)
    CALLERS[name](model, tiny, to_float(tiny.images[:8]))
    assert modes(model) == before
