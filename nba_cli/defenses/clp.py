"""CLP: channel Lipschitzness based pruning (Zheng, Tang, Li & Liu, ECCV 2022, arXiv:2208.03111)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nba_cli.data import to_float
from nba_cli.defenses.base import Defense, Evidence, batch_norms
from nba_cli.errors import Refused
from nba_cli.train import Report, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class CLP(Defense):
    """Zero the channels k of a layer whose bound s_k = sigma_max(W_k) |gamma_k| / sqrt(var_k + eps) exceeds
    mean(s) + u std(s) over the layer.

    W_k is the k-th filter of a convolution as a matrix [C_in, h w], gamma_k and var_k belong to the batch norm that
    reads this convolution. A backdoor lives in channels that a small change of the input drives far. Uses no image for
    anything but to see which layer reads which. Cost: one forward pass of one image.

    Fields:
        u: how many standard deviations above the mean a bound may lie, above 0; 3 is usual, smaller prunes more
    """

    u: float = 3.0

    def __post_init__(self) -> None:
        if self.u <= 0:
            raise Refused(f"defense.u={self.u}: above 0.")

    @torch.no_grad()
    def __call__(self, evidence: Evidence, generator: torch.Generator, report: Report = silent) -> Network:
        model = copy.deepcopy(evidence.model)
        device = next(model.parameters()).device
        pairs = readers(model, to_float(evidence.clean.images[:1].to(device)))
        total, channels = 0, 0
        for number, (conv, norm) in enumerate(pairs):
            bound = lipschitz(conv, norm)
            pruned = bound > bound.mean() + self.u * bound.std(correction=0)
            norm.weight[pruned] = 0
            norm.bias[pruned] = 0
            total, channels = total + int(pruned.sum()), channels + len(pruned)
            last = number + 1 == len(pairs)
            report("prune", number + 1, len(pairs), {"pruned": total, "channels": channels} if last else None)
        return model


def lipschitz(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Upper bound of the Lipschitz constant of each channel [C_out], as far as convolution and batch norm go."""
    assert norm.running_var is not None
    scale = norm.weight.abs() / (norm.running_var + norm.eps).sqrt()
    return torch.linalg.matrix_norm(conv.weight.float().flatten(2), ord=2) * scale


def readers(model: Network, x: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Every batch norm that reads the output of a convolution and nothing else, with that convolution.

    Found by following the tensors of one pass: the order of definition says nothing of shortcuts.
    """
    norms = set(batch_norms(model, "clp").values())
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # the tensor is kept, so that its id stays its own
    found: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def note(module: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        if isinstance(module, nn.Conv2d):
            made[id(out)] = (module, out)
        elif isinstance(module, nn.BatchNorm2d) and module in norms and id(given[0]) in made:
            found.append((made[id(given[0])][0], module))

    handles = [module.register_forward_hook(note) for module in model.modules()]
    training = model.training
    try:
        model.eval()(x)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return found
