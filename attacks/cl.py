"""CL: the clean-label attack with adversarial perturbations (Turner, Tsipras & Madry 2019, arXiv:1912.02771)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks._patch import Corner, check, grid, paste
from attacks.base import Mode
from attacks.learned import Learned, Lesson, Tensors
from nba_cli import devices, seeds
from nba_cli.errors import Refused
from nba_cli.training import Event, Progress, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class CleanLabel(Learned):
    """Training: x' = corners(clip(x + delta)), with delta = argmax over |delta|_inf <= eps of CE(h(x + delta), y).
    Test: x' = corners(x).

    h is a helper model. The perturbation makes the image's own content hard to use, so that the victim learns the
    corners instead; no label is changed. corners() puts their 3x3 grid into all four corners. Turner et al. use PGD
    with 100 steps of 1.5/255 and eps 8, 16 or 32 of 255. Ours: the helper is the clean victim of the same settings.

    Fields:
        mode: clean_label
        rate: poisoned share in (0,1] of the target class
        eps: largest change of a pixel, L_inf, in 8-bit levels
        step: size of a PGD step in 8-bit levels
        steps: PGD steps
        size: side of each patch in pixels
    """

    crafted: ClassVar[bool] = True
    train_only: ClassVar[bool] = True
    version: ClassVar[int] = 2
    modes: ClassVar[tuple[Mode, ...]] = (Mode.clean_label,)

    mode: Mode = Mode.clean_label
    rate: float = 0.8
    eps: float = 16.0
    step: float = 1.5
    steps: int = 100
    size: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.size, 0)
        if not 0 < self.eps <= 127 or self.step <= 0 or self.steps < 1:
            raise Refused(
                f"attack.eps={self.eps}, step={self.step}, steps={self.steps}: eps lies in (0,127] 8-bit levels, "
                "step is above 0, steps 1 or more."
            )

    def learn(self, lesson: Lesson, progress: Progress = silent) -> Tensors:
        helper = lesson.model
        random = seeds.generator(lesson.seed, "pgd")
        parts = lesson.index.split(250)
        found = []
        for number, part in enumerate(parts):
            images = lesson.train.images[part].to(lesson.device)
            y = lesson.train.labels[part].to(lesson.device)
            start = torch.rand(images.shape, generator=random).to(lesson.device) * 2 - 1
            delta = self.perturb(helper, images.float() / 255, y, start * self.eps / 255, lesson.dtype)
            found.append((delta * 255).round().to(torch.int8).cpu())
            progress(Event("pgd", number + 1, len(parts)))
        return {"train.index": lesson.index, "train.delta": torch.cat(found)}

    def perturb(self, helper: Network, x: Tensor, y: Tensor, delta: Tensor, dtype: torch.dtype) -> Tensor:
        """PGD from `delta`: x float [N,C,H,W] in [0,1] -> delta of the same shape with x + delta in [0,1]."""
        eps, step = self.eps / 255, self.step / 255
        for _ in range(self.steps):
            delta.requires_grad_()
            with devices.autocast(x.device, dtype):
                loss = F.cross_entropy(helper(x + delta).float(), y, reduction="sum")
            (slope,) = torch.autograd.grad(loss, delta)
            delta = (delta.detach() + step * slope.sign()).clamp(-eps, eps)
            delta = (x + delta).clamp(0, 1) - x
        return delta

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        if train:
            rows = torch.searchsorted(self.tensor("train.index", index), index)
            images = (images + self.tensor("train.delta", images)[rows].to(images.dtype) / 255).clamp(0, 1)
        for corner in Corner:
            images = paste(images, grid(self.size, images, corner), corner)
        return images
