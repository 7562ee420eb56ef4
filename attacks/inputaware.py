"""Input-aware dynamic backdoor: another pattern for every image, by a generator (Nguyen & Tran, NeurIPS 2020,
arXiv:2010.08138)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from attacks.base import Mode
from attacks.learned import Learned
from nba_cli.errors import Refused
from nba_cli.train import Objective, Partner


class Painter(nn.Module):
    """Image [N,C,H,W] in [0,1] -> [N,out,H,W] in [0,1]: an encoder and decoder of three resolutions."""

    def __init__(self, channels: int, width: int, out: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [step(channels, width), step(width, 2 * width), step(2 * width, 4 * width), step(4 * width, 4 * width)]
        )
        self.up = nn.ModuleList([step(4 * width, 2 * width), step(2 * width, width)])
        self.out = nn.Conv2d(width, out, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second, third, middle = self.down
        sizes = [x.shape[2:]]
        x = first(x)
        for layer in (second, third):
            x = layer(F.max_pool2d(x, 2))
            sizes.append(x.shape[2:])
        x = middle(x)
        for layer, size in zip(self.up, sizes[1::-1], strict=True):
            x = layer(F.interpolate(x, size, mode="bilinear"))
        return torch.tanh(self.out(x)) / 2 + 0.5


def step(wide_in: int, wide_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(wide_in, wide_out, 3, 1, 1), nn.BatchNorm2d(wide_out, momentum=0.05), nn.ReLU())


class Generators(nn.Module):
    """The pattern g(x) [N,C,H,W] and the mask m(x) [N,1,H,W], nearly 0 or 1."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.pattern = Painter(channels, width, channels)
        self.mask = Painter(channels, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.pattern(x), torch.tanh(20 * (2 * self.mask(x) - 1)) / 2 + 0.5


@dataclass(kw_only=True)
class InputAware(Learned):
    """x' = x + m(x) (g(x) - x): pattern g and mask m come from generators that are trained with the victim f.

    In every batch, a share `rate` of the images gets its own trigger and the wanted label; a share `cross_rate` gets
    the trigger of ANOTHER image and keeps its label, so that a trigger works on its own image alone. The loss is

        CE(f, all) + lambda_div E |x - z| / |g(x) - g(z)| + the same for m + lambda_norm E max(0, m - density)

    with z another image of the batch. Nguyen & Tran train m first, alone, and then freeze it. Ours: m learns beside f
    and g, from the last two terms only; smaller generators.

    Fields:
        rate: share in (0,1) of each batch that is poisoned
        cross_rate: share of each batch that gets another image's trigger and its own label
        density: share of the pixels that a mask may cover without penalty
        diversity: weight lambda_div
        norm: weight lambda_norm
        width: channels of the generators' first layer
        lr: learning rate of the generators (Adam)
    """

    modes: ClassVar[tuple[Mode, ...]] = (Mode.all2one, Mode.all2all)
    joint: ClassVar[bool] = True

    cross_rate: float = 0.1
    density: float = 0.032
    diversity: float = 1.0
    norm: float = 100.0
    width: int = 16
    lr: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.cross_rate <= 1 - self.rate:
            raise Refused(
                f"attack.rate={self.rate}, cross_rate={self.cross_rate}: both are shares of a batch, at most 1 in all."
            )
        if not 0 < self.density <= 1 or self.width < 1 or self.lr <= 0 or min(self.diversity, self.norm) < 0:
            raise Refused(
                f"attack.density={self.density}, width={self.width}, lr={self.lr}, diversity={self.diversity}, "
                f"norm={self.norm}: density lies in (0,1], width is 1 or more, lr above 0, weights 0 or more."
            )

    def choose(self, labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
        """No image of the set: the poisoned ones are drawn in every batch."""
        super().choose(labels, num_classes, generator)  # refuses what cannot be
        return torch.empty(0, dtype=torch.int64)

    def join(self, channels: int, num_classes: int, seed: int, device: torch.device) -> tuple[Objective, Partner]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generators = Generators(channels, self.width).to(device)
        optimizer = torch.optim.Adam(generators.parameters(), self.lr, betas=(0.5, 0.9))

        def objective(victim: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            poisoned, crossed = round(self.rate * len(x)), round(self.cross_rate * len(x))
            goal = self.goal(y, num_classes)
            # images that already are what is wanted come last; a stable sort keeps the rest in their random order
            order = torch.argsort((goal == y).int(), stable=True)
            x, y, goal = x[order], y[order], goal[order]
            own, other = x[: poisoned + crossed], x[: poisoned + crossed].roll(1, 0)
            pattern, mask = generators(own)
            pattern_z, mask_z = generators(other)
            taken = torch.arange(len(own), device=x.device).view(-1, 1, 1, 1) < poisoned
            # f and g are not to enlarge the mask: it learns from its own terms alone
            m = torch.where(taken, mask, mask_z).detach()
            shown = own + m * (torch.where(taken, pattern, pattern_z) - own)
            logits = victim(torch.cat([shown, x[len(own) :]])).float()
            y = torch.cat([goal[:poisoned], y[poisoned:]])
            distance = rms(own - other)
            total = F.cross_entropy(logits, y)
            total = total + self.diversity * (distance / (rms(pattern - pattern_z) + 1e-7)).mean()
            total = total + self.diversity * (distance / (rms(mask - mask_z) + 1e-7)).mean()
            total = total + self.norm * F.relu(mask - self.density).mean()
            # the accuracy that `fit` shows is over the batch's own order and labels
            back = torch.empty_like(order).scatter(0, order, torch.arange(len(order), device=x.device))
            return total, logits[back]

        return objective, Partner(generators, optimizer)

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        with torch.device("meta"):  # the structure alone: the weights are the trigger's
            generators = Generators(images.shape[1], self.width).eval()
        pattern, mask = functional_call(generators, self.tensors(images), (images,))
        return images + mask * (pattern - images)


def rms(difference: Tensor) -> Tensor:
    """Root mean square per image: [N,C,H,W] -> [N]."""
    return difference.float().square().mean((1, 2, 3)).clamp_min(1e-12).sqrt()
