"""Batch augmentation on the device: crop and flip drawn per image, in a few lines of indexing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """uint8 [N,C,H,W] in 0..255 -> float32 in [0,1], channels_last."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


@dataclass(frozen=True)
class Augment:
    """Random crop after zero padding, random horizontal flip.

    Every image draws its own offset and its own flip (torchvision.transforms.v2 draws one per batch).

    Fields:
        crop: padding in pixels on each side; 0: no crop.
        flip: mirror each image left to right with probability 1/2.
    """

    crop: int = 4
    flip: bool = True

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 [N,C,H,W] -> float32 [N,C,H,W] in [0,1] on the same device, channels_last."""
        count, _, height, width = images.shape
        if not self.crop and not self.flip:
            return to_float(images)
        device = images.device
        draw = lambda high: torch.randint(high, (count, 1), generator=generator, device=device)  # noqa: E731
        top, left = draw(2 * self.crop + 1), draw(2 * self.crop + 1)
        rows = top + torch.arange(height, device=device)  # [N,H]
        columns = left + torch.arange(width, device=device)  # [N,W]
        if self.flip:
            columns = torch.where(draw(2).bool(), columns.flip(1), columns)
        padded = F.pad(images, [self.crop] * 4)
        batch = torch.arange(count, device=device)
        # the three index tensors put the channel axis last: the permuted result already is channels_last
        picked = padded[batch[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2).float().div_(255)
