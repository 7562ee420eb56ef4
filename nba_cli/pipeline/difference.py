"""What a trigger changes, made visible: the small amplified, the few framed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ORANGE = (230, 159, 0)
MOST = 0.95  # of the changes: they are amplified as far as the range goes, larger ones are cut off
FEW = 0.25  # of the picture: what changes within less is framed

Box = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True)
class Difference:
    """Fields:
    images: uint8 [N,3,H,W], the change times `factor` around mid-grey, cut off at the ends of the range; with frames
        around the places that change, if they are few
    factor: brings the changes to the ends of the range, but for the largest of them, which would hide the others
    share: of the pixels, how many change
    """

    images: Tensor
    factor: float
    share: float

    @property
    def caption(self) -> str:
        return f"change x{self.factor:.1f}, {100 * self.share:.1f} % of pixels"


def difference(clean: Tensor, triggered: Tensor) -> Difference:
    """The change from one uint8 batch [N,C,H,W] to the other."""
    change = (triggered.float() - clean.float()).expand(-1, 3, -1, -1)
    sizes = change.abs()[change != 0]
    factor = max(1.0, 127 / sizes.kthvalue(math.ceil(MOST * len(sizes))).values.item()) if len(sizes) else 1.0
    images = (128 + factor * change).clamp(0, 255).to(torch.uint8)
    changed = (change != 0).any(1)
    images[:, :, frames(changed.any(0))] = torch.tensor(ORANGE, dtype=torch.uint8, device=images.device)[:, None]
    return Difference(images, factor, changed.float().mean().item())


def frames(changed: Tensor) -> Tensor:
    """Where frames lie around the true pixels of bool [H,W], on none of them; nowhere if these are not few."""
    width = max(1, changed.shape[1] // 32)
    found = torch.zeros_like(changed)
    places = boxes(changed, 2 * width + 1)
    if sum((row.stop - row.start) * (column.stop - column.start) for row, column in places) > FEW * changed.numel():
        return found
    for row, column in places:
        around = [slice(max(0, side.start - width), side.stop + width) for side in (row, column)]
        found[around[0], around[1]] = True
    for row, column in places:
        found[row, column] = False
    return found


def boxes(changed: Tensor, gap: int) -> list[Box]:
    """The true pixels of bool [H,W] in boxes that are `gap` pixels from each other."""
    rows, columns = stretches(changed.any(1), gap), stretches(changed.any(0), gap)
    return [(row, column) for row in rows for column in columns if changed[row, column].any()]


def stretches(line: Tensor, gap: int) -> list[slice]:
    """The true ones of bool [N] in stretches; fewer than `gap` false ones between them part nothing."""
    found: list[slice] = []
    for number in line.nonzero()[:, 0].tolist():
        if found and number - found[-1].stop < gap:
            found[-1] = slice(found[-1].start, number + 1)
        else:
            found.append(slice(number, number + 1))
    return found
