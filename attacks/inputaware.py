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
from attacks.learned import PARTNER, Learned, Lesson, Tensors
from nba_cli import domains, seeds
from nba_cli.data import Augment
from nba_cli.errors import Refused
from nba_cli.training import Objective, Optimizer, Partner, Plan, Progress, fit, silent


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
    return nn.Sequential(nn.Conv2d(wide_in, wide_out, 3, 1, 1), nn.GroupNorm(4, wide_out), nn.ReLU())


def binary(mask: Tensor) -> Tensor:
    """[0,1] -> nearly 0 or 1, differentiable: tanh(20 (2 m - 1)) / 2 + 1 / 2."""
    return torch.tanh(20 * (2 * mask - 1)) / 2 + 0.5


@dataclass(kw_only=True)
class InputAware(Learned):
    """x' = x + m(x) (g(x) - x): pattern g and mask m come from generators; g is trained with the victim f.

    First m alone, as the authors do:  diversity E |x - z| / |m(x) - m(z)| + norm E max(0, mean m(x) - density),  z
    another image of the batch; then it is frozen. In every batch of the victim's training, a share `rate` of the
    images gets its own trigger and the wanted label; a share `cross_rate` gets the trigger of ANOTHER image and keeps
    its label, so that a trigger works on its own image alone. The loss of f and g is

        CE(f, all) + diversity E |x - z| / |g(x) - g(z)|

    Ours: m is trained on images as they are, by Adam with its usual betas (the authors' augmented, 0.5 and 0.9);
    density is that of a whole mask (public code charges each pixel); smaller generators with group norm, which
    behaves the same in training and test; g's learning rate follows the schedule of f; m is trained for
    `mask_epochs` epochs. Masks cover a share of the image at every size; what the generators see around a pixel does
    not grow with it.

    Fields:
        rate: share in [0.01,1] of each batch that is poisoned
        cross_rate: share of each batch that gets another image's trigger and its own label
        density: share of the pixels that a mask may cover without penalty
        diversity: weight lambda_div
        norm: weight lambda_norm
        width: channels of the generators' first layer, a multiple of 4
        lr: peak learning rate of the generators (Adam)
        mask_epochs: passes over the training set that train the mask
    """

    modes: ClassVar[tuple[Mode, ...]] = (Mode.all2one, Mode.all2all)
    crafted: ClassVar[bool] = True
    joint: ClassVar[bool] = True
    version: ClassVar[int] = 2
    unshaped: ClassVar[tuple[str, ...]] = ("mode", "target", "rate", "cross_rate")

    cross_rate: float = domains.within(0.1, "[0,1]")
    density: float = domains.within(0.032, "(0,1]")
    diversity: float = domains.within(1.0, "[0,inf)")
    norm: float = domains.within(100.0, "[0,inf)")
    width: int = domains.within(16, "[4,1024]")
    lr: float = domains.within(0.01, "(0,100]")
    mask_epochs: float = domains.within(2.0, "(0,1e12]")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate < 0.01:
            raise Refused(f"attack.rate={self.rate}: a share of each batch, 0.01 or more.")
        if self.cross_rate > 1 - self.rate:
            raise Refused(
                f"attack.cross_rate={self.cross_rate}, attack.rate={self.rate}: shares of a batch, together 1 at most."
            )
        if self.width % 4:
            raise Refused(f"attack.width={self.width}: must be a multiple of 4.")

    def choose(self, labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
        """No image of the set: the poisoned ones are drawn in every batch."""
        super().choose(labels, num_classes, generator)  # refuses impossible settings
        return torch.empty(0, dtype=torch.int64)

    def learn(self, lesson: Lesson, progress: Progress = silent) -> Tensors:
        """The mask m, by the training loop of everything else."""
        mask = self.painter(lesson.train.images.shape[1], 1, lesson.seed).to(lesson.device)

        def objective(mask: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            m = binary(mask(x).float())
            loss = self.diversity * diversity_loss(x, m) + self.norm * F.relu(m.mean((1, 2, 3)) - self.density).mean()
            return loss, m.new_zeros(len(x), 1)  # nothing is classified here

        plan = Plan(epochs=self.mask_epochs, lr=self.lr, optimizer=Optimizer.adam, decay=0.0)
        random = seeds.generator(lesson.seed, "mask", lesson.device)
        plain = Augment(crop=0, flip=False)
        fit(mask, lesson.train, plan, objective, augment=plain, generator=random, progress=progress, phase="mask")
        return {f"mask.{name}": value.detach().cpu() for name, value in mask.state_dict().items()}

    def painter(self, channels: int, out: int, seed: int) -> Painter:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Painter(channels, self.width, out)

    def joint_training(
        self, channels: int, num_classes: int, seed: int, device: torch.device
    ) -> tuple[Objective, Partner]:
        pattern = self.painter(channels, channels, seed).to(device)
        optimizer = torch.optim.Adam(pattern.parameters(), self.lr, betas=(0.5, 0.9))
        mask = self.painter(channels, 1, seed).to(device).requires_grad_(False)
        mask.load_state_dict(self.kept("mask.", mask.out.weight))

        def objective(victim: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            poisoned, crossed = round(self.rate * len(x)), round(self.cross_rate * len(x))
            goal = self.goal(y, num_classes)
            # images that already are what is wanted come last; a stable sort keeps the rest in their random order
            order = torch.argsort((goal == y).int(), stable=True)
            x, y, goal = x[order], y[order], goal[order]
            # the accuracy that `fit` shows is over the batch's own order and labels
            back = torch.empty_like(order).scatter(0, order, torch.arange(len(order), device=x.device))
            own = x[: poisoned + crossed]
            if len(own) < 2:  # the last batch of an epoch: no image has a neighbour
                logits = victim(x).float()
                return F.cross_entropy(logits, y), logits[back]
            paint, m = pattern(own), binary(mask(own).float())
            taken = torch.arange(len(own), device=x.device).view(-1, 1, 1, 1) < poisoned
            shown_paint, shown_m = (torch.where(taken, part, part.roll(1, 0)) for part in (paint, m))
            shown = own + shown_m * (shown_paint - own)
            logits = victim(torch.cat([shown, x[len(own) :]])).float()
            y = torch.cat([goal[:poisoned], y[poisoned:]])
            total = F.cross_entropy(logits, y) + self.diversity * diversity_loss(own, paint)
            return total, logits[back]

        return objective, Partner(pattern, optimizer)

    def kept(self, prefix: str, like: Tensor) -> Tensors:
        """The weights of the generator under `prefix`."""
        made = self.tensors(like)
        return {name.removeprefix(prefix): value for name, value in made.items() if name.startswith(prefix)}

    def mask(self, images: Tensor) -> Tensor:
        """m(x) [N,1,H,W], nearly 0 or 1."""
        return binary(self.paint("mask.", 1, images).float())

    def paint(self, prefix: str, out: int, images: Tensor) -> Tensor:
        """What the kept generator under `prefix` makes of `images`."""
        with torch.device("meta"):  # the structure alone: the weights are the trigger's
            painter = Painter(images.shape[1], self.width, out)
        return functional_call(painter, self.kept(prefix, images), (images,))

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        return images + self.mask(images) * (self.paint(PARTNER, images.shape[1], images) - images)


def diversity_loss(x: Tensor, made: Tensor) -> Tensor:
    """E |x - z| / |made(x) - made(z)| with z the neighbour in the batch: large where different images get the same."""
    return (rms(x - x.roll(1, 0)) / (rms(made - made.roll(1, 0)) + 1e-7)).mean()


def rms(difference: Tensor) -> Tensor:
    """Root mean square per image: [N,C,H,W] -> [N]."""
    return difference.float().square().mean((1, 2, 3)).clamp_min(1e-12).sqrt()
