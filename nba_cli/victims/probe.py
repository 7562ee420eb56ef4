"""Whether a network can be a victim: one pass of blank images, and what a failure of it means."""

from __future__ import annotations

import copy
import inspect

import torch
from torch import Tensor, nn

from nba_cli.errors import Refused


def blank_pass(probe: nn.Module, net: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """What `probe`, a copy of `net` on the meta device, says of two blank images of `shape` (C,H,W): logits [2,K].

    Raises:
        Refused: it cannot take them, or what it says is not one tensor.
    """
    try:
        out = probe(torch.zeros(2, *shape, device="meta"))
    except Exception as error:  # whatever a network of the user's own raises
        raise Refused(why(net, shape, error)) from error
    if not isinstance(out, Tensor):
        raise Refused(f"victim: its forward returns a {type(out).__name__}; a classifier returns its logits [N,K].")
    return out


def why(net: nn.Module, shape: tuple[int, int, int], error: Exception) -> str:
    """Why `net` fails on blank images without values; if it passes with values, they are what it lacked."""
    try:
        inspect.signature(net.forward).bind(torch.empty(0))
    except (TypeError, ValueError) as wrong:
        return f"victim: its forward has to take a batch of images and nothing else ({wrong})."
    try:
        with torch.no_grad():
            copy.deepcopy(net).cpu().train()(torch.zeros(2, *shape))
    except (RuntimeError, AssertionError, ValueError) as real:
        return f"victim: images of {shape[1]}x{shape[2]} do not fit it ({first_line(real)})."
    except Exception as real:
        return f"victim: its forward fails on images of {shape[1]}x{shape[2]} ({first_line(real)})."
    return (
        "victim: its forward depends on the values of the images, as in `if x.mean() > 0`, or puts tensors on a device "
        f"of its own ({first_line(error)}). Its stages are found without values: leave that out."
    )


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says, not too long."""
    said, *_ = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {said}"[:160]
