"""CLP: channel Lipschitzness based pruning (Zheng, Tang, Li & Liu, ECCV 2022, arXiv:2208.03111)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nba_cli import domains
from nba_cli.data import to_float
from nba_cli.defenses._batch_norm import batch_norms
from nba_cli.defenses._watching import watched
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.training import Event, Progress, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class CLP(Defense):
    """Zero the channels k with s_k = sigma_max(W_k) |gamma_k| / sqrt(var_k + eps) > mean(s) + u std(s) over the layer.

    W_k is the k-th filter of a convolution as a matrix [C_in, h w], gamma_k and var_k belong to the batch norm that
    reads this convolution. One that reads a residual sum, as in pre-activation networks, is paired with the convolution
    that was added last (public code takes the one that was DEFINED last, which is the shortcut in a block that has
    one): the bound is then that of the convolution's share of the sum. A backdoor lives in channels that a small change
    of the input drives far. One image is passed through, only to see which layer
    reads which. Cost: that forward pass.

    Fields:
        u: how many standard deviations above the mean a bound may lie, above 0; 3 is usual, smaller prunes more
    """

    version: ClassVar[int] = 2

    u: float = domains.within(3.0, "(0,inf)")

    def check(self, model: Network) -> None:
        batch_norms(model, "clp")

    @torch.no_grad()
    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        model = copy.deepcopy(evidence.model)
        device = next(model.parameters()).device
        pairs = readers(model, to_float(evidence.clean.images[:1].to(device)))
        total, channels = 0, 0
        for number, (conv, norm) in enumerate(pairs):
            bound = lipschitz(conv, norm)
            pruned = bound > bound.mean() + self.u * bound.std()
            norm.weight[pruned] = 0
            norm.bias[pruned] = 0
            total, channels = total + int(pruned.sum()), channels + len(pruned)
            last = number + 1 == len(pairs)
            progress(Event("prune", number + 1, len(pairs), {"pruned": total, "channels": channels} if last else None))
        return model.eval()


def lipschitz(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Upper bound of the Lipschitz constant of each channel [C_out], as far as convolution and batch norm go.

    Ours: the batch norm's eps beside the variance, as the network computes; public code leaves it out.
    """
    assert norm.running_var is not None
    scale = norm.weight.abs() / (norm.running_var + norm.eps).sqrt()
    return torch.linalg.matrix_norm(conv.weight.float().flatten(2), ord=2) * scale


def readers(model: Network, x: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Every batch norm, with the convolution that it reads, or that was added last to the sum that it reads.

    Found by following the tensors of one pass: the order of definition says nothing of shortcuts. A batch norm before
    the first convolution, or of another number of channels than the last one, is left out.
    """
    norms = set(batch_norms(model, "clp").values())
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # the tensor is kept, so that its id stays its own
    last: list[nn.Conv2d] = []
    found: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def note(module: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        if isinstance(module, nn.Conv2d):
            made[id(out)] = (module, out)
            last[:] = [module]
        elif isinstance(module, nn.BatchNorm2d) and module in norms:
            conv = made[id(given[0])][0] if id(given[0]) in made else last[0] if last else None
            if conv is not None and conv.out_channels == module.num_features:
                found.append((conv, module))

    with watched(model, note):
        model(x)
    return found
