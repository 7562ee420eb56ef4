"""CL: the clean-label attack with adversarial perturbations (Turner, Tsipras & Madry 2019, arXiv:1912.02771)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks._patch import LARGEST, Corner, check_fit, check_grid, grid, paste
from attacks.base import Mode
from attacks.learned import Helped, Lesson, Tensors
from nba_cli import devices, domains, seeds
from nba_cli.data import scaled_batch
from nba_cli.modes import in_mode
from nba_cli.training import Event, Plan, Progress, fit, silent


@dataclass(kw_only=True)
class CleanLabel(Helped):
    """Training: x' = corners(clip(x + delta)), with delta = argmax over |delta|_inf <= eps of CE(h(x + delta), y).
    Test: x' = corners(x).

    h is a helper model. The perturbation makes the image's own content hard to use, so that the victim learns the
    corners instead; no label is changed. corners() puts their 3x3 grid into all four corners. Turner et al. use PGD
    with 100 steps of 1.5/255 and eps 8, 16 or 32 of 255, on adversarially trained helpers; robust_epochs asks for one
    (Madry et al. 2018: PGD of 7 steps of 2/255 within 8/255). Ours: that training starts from the clean helper, and
    each victim's attacker repeats it. The patches do not grow with the images: 3 of 32 covers as much as 6 of 64 or 21
    of 224.

    Fields:
        mode: clean_label
        rate: poisoned share in (0,1] of the target class
        eps: largest change of a pixel, L_inf, in 8-bit levels
        step: size of a PGD step in 8-bit levels
        steps: PGD steps
        size: side of each patch in pixels
        robust_epochs: epochs of adversarial training that the helper gets first; 0: none
    """

    train_only: ClassVar[bool] = True
    version: ClassVar[int] = 3
    modes: ClassVar[tuple[Mode, ...]] = (Mode.clean_label,)

    mode: Mode = Mode.clean_label
    rate: float = 0.8
    eps: float = domains.within(16.0, "(0,127]")
    step: float = domains.within(1.5, "(0,255]")
    steps: int = domains.within(100, "[1,inf)")
    size: int = domains.within(3, LARGEST)
    robust_epochs: float = domains.within(0.0, "[0,1e12]")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_grid(self.size)

    def check(self, num_classes: int, shape: tuple[int, int, int] | None = None) -> None:
        super().check(num_classes, shape)
        if shape is not None:
            check_fit(self.size, 0, shape)

    def learn(self, lesson: Lesson, progress: Progress = silent) -> Tensors:
        helper = robust(lesson, self.robust_epochs, self.helper_seed, progress) if self.robust_epochs else lesson.model
        random = seeds.generator(lesson.seed, "pgd")
        parts = lesson.index.split(min(250, scaled_batch(250, lesson.train.images)))
        found = []
        for number, part in enumerate(parts):
            images = lesson.train.images[part].to(lesson.device)
            y = lesson.train.labels[part].to(lesson.device)
            start = torch.rand(images.shape, generator=random).to(lesson.device) * 2 - 1
            with devices.autocast(lesson.device, lesson.dtype):
                eps, step = self.eps / 255, self.step / 255
                delta = pgd(helper, images.float() / 255, y, start * eps, eps=eps, step=step, steps=self.steps)
            found.append((delta * 255).round().to(torch.int8).cpu())
            progress(Event("pgd", number + 1, len(parts)))
        return {"train.index": lesson.index, "train.delta": torch.cat(found)}

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        if train:
            rows = torch.searchsorted(self.tensor("train.index", index), index)
            images = (images + self.tensor("train.delta", images)[rows].to(images.dtype) / 255).clamp(0, 1)
        for corner in Corner:
            images = paste(images, grid(self.size, images, corner), corner)
        return images


def pgd(model: nn.Module, x: Tensor, y: Tensor, delta: Tensor, *, eps: float, step: float, steps: int) -> Tensor:
    """Projected gradient ascent on CE(model(x + delta), y) (Madry et al. 2018, arXiv:1706.06083).

    x float [N,C,H,W] in [0,1] and a start `delta` -> delta of the same shape, |delta|_inf <= eps, x + delta in [0,1].
    """
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        loss = F.cross_entropy(model(x + delta).float(), y, reduction="sum")
        (grad,) = torch.autograd.grad(loss, delta)
        delta = (delta.detach() + step * grad.sign()).clamp(-eps, eps)
        delta = (x + delta).clamp(0, 1) - x
    return delta.detach()


def robust(lesson: Lesson, epochs: float, seed: int, progress: Progress) -> nn.Module:
    """The helper after adversarial training: every batch is replaced by its PGD examples."""
    random = seeds.generator(seed, "robust", lesson.device)

    def objective(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        start = (2 * torch.rand(x.shape, generator=random, device=x.device) - 1) * 8 / 255
        with in_mode(model, training=False):
            delta = pgd(model, x, y, start, eps=8 / 255, step=2 / 255, steps=7)
        logits = model(x + delta).float()
        return F.cross_entropy(logits, y), logits

    return fit(
        copy.deepcopy(lesson.model).requires_grad_(True),
        lesson.train,
        Plan(epochs=epochs, lr=0.1),
        objective,
        augment=lesson.augment,
        generator=seeds.generator(seed, "robust batches", lesson.device),
        dtype=lesson.dtype,
        progress=progress,
        phase="robust",
    ).requires_grad_(False)
