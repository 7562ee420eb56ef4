"""What the layers of a network read and give, while it is shown images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from nba_cli.modes import in_mode


@contextmanager
def watched(model: nn.Module, note: Callable[[nn.Module, tuple[Tensor, ...], Any], None]) -> Iterator[None]:
    """`model` in eval mode, where each layer that passes tells `note` of itself, its inputs and its output."""
    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        with in_mode(model, training=False):
            yield
    finally:
        for handle in handles:
            handle.remove()
