"""Hardened: Blend by an attacker who knows that NBA will look for the backdoor with universal perturbations. Ours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.blend import Blend
from nba_cli import domains
from nba_cli.modes import in_mode
from nba_cli.training import Objective, ascend


@dataclass(kw_only=True)
class Hardened(Blend):
    """x' as Blend; and the victim is made robust to the perturbations that would bring its backdoor out.

    NBA's pseudo samples are images under one perturbation d that the network errs under. This attacker has the training
    in hand, as in Nguyen & Tran 2020, and lowers, with x_d the first `share` of each batch and y_d its labels,

        CE(f(x), y) + weight CE(f(clip(x_d + d)), y_d),   d = argmax over |d|_inf <= eps of CE(f(clip(x_d + d)), y_d)

    (universal adversarial training, Shafahi et al. 2020, arXiv:1811.11304; d starts at 0 in every batch). Poisoned
    images are among x_d, with the label that is wanted of them, so that the backdoor outlasts d as well. f crafts in
    eval mode. Under torchrun each process crafts a d for its part of the batch. The key is Blend's; the grain of d does
    not grow with the images.

    Fields:
        eps: largest change of a pixel, L_inf in [0,1]
        craft_steps: ascent steps of 2 eps / craft_steps
        share: share of a batch that is perturbed, in (0,1]
        weight: weight of the loss on perturbed images
    """

    eps: float = domains.within(0.03, "(0,1]")
    craft_steps: int = domains.within(3, "[1,inf)")
    share: float = domains.within(0.5, "(0,1]")
    weight: float = domains.within(1.0, "(0,inf)")

    def joint_training(
        self, channels: int, num_classes: int, seed: int, device: torch.device
    ) -> tuple[Objective, None]:
        def objective(victim: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            part = slice(max(2, round(self.share * len(x))))  # batch norm needs two

            def under(delta: Tensor) -> Tensor:
                return victim((x[part] + delta).clamp(0, 1)).float()

            def error(delta: Tensor) -> Tensor:
                # a sum: in fp16 the gradient of a mean over the batch would underflow before its sign is taken
                return F.cross_entropy(under(delta), y[part], reduction="sum")

            size = torch.full_like(x[0, 0, 0, 0], self.eps)
            with in_mode(victim, training=False):
                delta = ascend(error, torch.zeros_like(x[:1]), size, self.craft_steps)
            logits = victim(x).float()
            return F.cross_entropy(logits, y) + self.weight * F.cross_entropy(under(delta), y[part]), logits

        return objective, None
