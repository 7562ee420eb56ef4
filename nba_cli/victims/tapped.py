"""Stage features of any convolutional classifier or vision transformer, tapped from the running network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nba_cli.victims.base import Network, Normalise
from nba_cli.victims.taps import find_taps, maps


class Tapped(Network):
    """A classifier whose stages are outputs of its modules `taps`, as maps [N,C_l,H_l,W_l]: see `taps.find_taps`.

    Its state dict has the names of the classifier itself, and `normalise.*`.
    """

    def __init__(self, net: nn.Module, normalise: Normalise, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.normalise = normalise
        self.net = net
        self.taps, self.as_map = find_taps(net, shape)
        self.register_state_dict_post_hook(_drop_prefix)
        self.register_load_state_dict_pre_hook(_add_prefix)

    def stages(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        seen: dict[str, Tensor] = {}

        def tap(name: str) -> Callable[..., None]:
            return lambda module, given, out: seen.__setitem__(name, out)

        # hooks live for one pass only: a deep copy of the network then never reports to its original
        handles = [self.net.get_submodule(name).register_forward_hook(tap(name)) for name in self.taps]
        try:
            logits = self.net(self.normalise(x))
        finally:
            for handle in handles:
                handle.remove()
        return [self.as_map(seen[name]) for name in self.taps], logits

    @property
    def convolutional(self) -> bool:
        return self.as_map is maps


def wrap(network: nn.Module, *, mean: Sequence[float], std: Sequence[float], shape: tuple[int, int, int]) -> Tapped:
    """A classifier of your own as a victim: what `defenses.Evidence` wants of a suspect model.

    Args:
        network: images normalised by `mean` and `std`, float [N,C,H,W] -> logits [N,K]. It is used as it is.
        mean: channel means in [0,1], one a channel.
        std: channel standard deviations, above 0, one a channel.
        shape: (C,H,W) of the images.

    Returns:
        A victim that takes images in [0,1], where the network's parameters are; your network is its `net`.

    Raises:
        ValueError: `network` is no module or a scripted one, or `shape`, `mean` or `std` does not fit.
        Refused: the network is neither a convolutional classifier nor a vision transformer with one output, or the
            images do not fit it.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"network: a torch.nn.Module is needed, not {type(network).__name__}")
    if isinstance(network, torch.jit.ScriptModule):
        raise ValueError("network: a scripted module cannot be taken apart; give the module that it was made from")
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape={tuple(shape)}: (C,H,W) of the images, each 1 or more")
    if len(mean) != shape[0] or len(std) != shape[0] or not all(0 < value < math.inf for value in std):
        raise ValueError(f"mean={list(mean)}, std={list(std)}: {shape[0]} values each, one a channel; std above 0")
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    normalise = Normalise(torch.tensor(mean, device=device), torch.tensor(std, device=device))
    return Tapped(network, normalise, shape)


def _drop_prefix(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}net.")]:
        state[prefix + key.removeprefix(f"{prefix}net.")] = state.pop(key)


def _add_prefix(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for key in [key for key in state if key.startswith(prefix) and not key.startswith(f"{prefix}normalise.")]:
        state[f"{prefix}net.{key.removeprefix(prefix)}"] = state.pop(key)
