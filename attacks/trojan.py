"""Trojan: a patch whose pixels are optimised to excite chosen neurons (Liu, Ma et al., "Trojaning attack on neural
networks", NDSS 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from attacks._patch import FARTHEST, LARGEST, Corner, check_fit, paste
from attacks.base import Mode
from attacks.learned import Helped, Lesson, Tensors
from nba_cli import devices, domains, seeds
from nba_cli.errors import Refused
from nba_cli.training import Event, Progress, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class Trojan(Helped):
    """x' = (1 - m) x + m p, with p = argmax over p in [0,1] of E_x sum_{j in J} a_j(x').

    a_j are activations of the penultimate layer of a clean helper model, J the neurons most strongly wired to the
    target class. Liu et al. choose neurons by their connections and raise them by gradient steps on the mask's pixels;
    they retrain a given network, we poison training data, as public benchmarks do. Ours: Adam, a square in a corner,
    the helper is a clean victim with a seed of its own, pixels are rounded to 8 bits once and never wrap around.

    The patch does not grow with the images: 5 of 32 covers as much as 10 of 64 or 35 of 224.

    Fields:
        size: side of the square patch in pixels
        margin: pixels between the patch and the border
        corner: bottom_right, bottom_left, top_right or top_left
        neurons: how many neurons the patch excites
        steps: optimisation steps
        batch: images a step
        lr: learning rate of the pixels
    """

    version: ClassVar[int] = 2
    modes: ClassVar[tuple[Mode, ...]] = (Mode.all2one, Mode.clean_label)
    unshaped: ClassVar[tuple[str, ...]] = ("mode", "rate")

    size: int = domains.within(5, LARGEST)
    margin: int = domains.within(0, FARTHEST)
    corner: Corner = Corner.bottom_right
    neurons: int = domains.within(2, "[1,inf)")
    steps: int = domains.within(200, "[1,inf)")
    batch: int = domains.within(64, "[1,100000]")
    lr: float = domains.within(0.05, "(0,100]")

    def check(self, num_classes: int, shape: tuple[int, int, int] | None = None) -> None:
        super().check(num_classes, shape)
        if shape is not None:
            check_fit(self.size, self.margin, shape)

    def check_helper(self, network: Network) -> None:
        last_linear(network)

    def learn(self, lesson: Lesson, progress: Progress = silent) -> Tensors:
        helper = lesson.model
        head = last_linear(helper)
        chosen = head.weight[self.target].topk(min(self.neurons, head.in_features)).indices
        random = seeds.generator(lesson.seed, "trojan")
        channels = lesson.train.images.shape[1]
        patch = torch.rand(1, channels, self.size, self.size, generator=random).to(lesson.device).requires_grad_()
        optimizer = torch.optim.Adam([patch], self.lr)
        for step in range(self.steps):
            drawn = torch.randint(len(lesson.train), (self.batch,), generator=random)
            x = lesson.train.images[drawn].to(lesson.device).float() / 255
            with devices.autocast(lesson.device, lesson.dtype):
                activation = penultimate(helper, head, paste(x, patch, self.corner, self.margin))
            optimizer.zero_grad()
            (-activation[:, chosen].float().sum()).backward()
            optimizer.step()
            with torch.no_grad():
                patch.clamp_(0, 1)
            progress(Event("trojan", step + 1, self.steps))
        return {"patch": (patch.detach().cpu() * 255).round() / 255}

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        return paste(images, self.tensor("patch", images), self.corner, self.margin)


def last_linear(network: nn.Module) -> nn.Linear:
    """The classifier head: the last linear layer.

    Raises:
        Refused: there is none.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise Refused("attack=trojan excites the neurons before the last linear layer; this victim has none.")
    return layers[-1]


def penultimate(network: Network, head: nn.Linear, x: Tensor) -> Tensor:
    """The input [N,D] of `head` in a forward pass."""
    seen: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    try:
        network(x)
    finally:
        handle.remove()
    return seen[0]
