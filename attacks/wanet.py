"""WaNet: a slight warp of the whole image (Nguyen & Tran, ICLR 2021, arXiv:2102.10369)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks._randomness import uniform
from attacks.base import Mode
from attacks.learned import Learned, Tensors
from nba_cli import domains, seeds
from nba_cli.data import some_of
from nba_cli.errors import Refused


@dataclass(kw_only=True)
class WaNet(Learned):
    """x'(p) = x(p + s F(p)): F is a random flow on a k x k grid, scaled to mean absolute value 1 and bicubically
    upsampled; coordinates lie in [-1,1] and s is divided by the image's width, as in the authors' code. The
    bends of the flow grow with the image; how far a pixel moves, s / 2 on average, does not: at 224x224, where an image
    has seven times as many pixels a side as at 32x32, s=3.5 is the same warp.

    Noise mode: `noise` times as many further images are warped by F + n, n uniform in [-1,1] / W per position
    and image, and keep their labels, so that the victim learns this very warp and not warps as such.

    Ours: poisoned images are fixed before training (the authors draw them anew in each batch).

    Fields:
        k: side of the grid of control points
        s: strength of the warp
        noise: noise-mode images per poisoned image
        flow_seed: which flow
    """

    modes: ClassVar[tuple[Mode, ...]] = (Mode.all2one, Mode.all2all)
    version: ClassVar[int] = 2

    k: int = domains.within(4, "[2,1024]")
    s: float = domains.within(0.5, "(0,1000]")
    noise: float = domains.within(2.0, "[0,1000]")
    flow_seed: int = 0

    def noise_images(self, index: Tensor, count: int, generator: torch.Generator) -> Tensor:
        wanted = round(self.noise * len(index))
        rest = torch.ones(count, dtype=torch.bool)
        rest[index] = False
        if wanted > (left := int(rest.sum())):
            raise Refused(
                f"attack.noise={self.noise} asks for {wanted} noise-mode images, but only {left} are not poisoned."
            )
        return some_of(rest, wanted, generator).sort().values

    def draw(self, shape: tuple[int, int, int]) -> Tensors:
        """The flow s F / W [1,H,W,2], a function of the settings; kept with the victim all the same."""
        height, width = shape[1:]
        random = seeds.generator(self.flow_seed, "flow")
        coarse = torch.rand(1, 2, self.k, self.k, generator=random) * 2 - 1
        flow = F.interpolate(coarse / coarse.abs().mean(), (height, width), mode="bicubic", align_corners=True)
        return {"flow": (self.s / width * flow).permute(0, 2, 3, 1).contiguous()}

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        return read_at(images, self.grid(images).expand(len(images), -1, -1, -1))

    def stamp_noise(self, images: Tensor, index: Tensor) -> Tensor:
        height, width = images.shape[2:]
        place = torch.arange(height * width * 2, device=index.device)
        noise = uniform(index[:, None] * len(place) + place, self.flow_seed, "noise mode") * 2 - 1
        return read_at(images, (self.grid(images) + noise.view(-1, height, width, 2) / width).clamp(-1, 1))

    def grid(self, images: Tensor) -> Tensor:
        """Where each pixel is read, [1,H,W,2] (x, y) in [-1,1]; clamped before noise is added, as the authors do."""
        return (positions(images) + self.tensor("flow", images)).clamp(-1, 1)


def positions(images: Tensor) -> Tensor:
    """The positions of the pixels of images [N,C,H,W]: [H,W,2] (x, y) in [-1,1], corners included."""
    height, width = images.shape[2:]
    rows = torch.linspace(-1, 1, height, device=images.device, dtype=images.dtype)
    columns = torch.linspace(-1, 1, width, device=images.device, dtype=images.dtype)
    return torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)], dim=2)


def read_at(images: Tensor, grid: Tensor) -> Tensor:
    """images [N,C,H,W] read at `grid` [N,H,W,2] (x, y) in [-1,1], bilinear."""
    return F.grid_sample(images, grid, mode="bilinear", align_corners=True).clamp(0, 1)
