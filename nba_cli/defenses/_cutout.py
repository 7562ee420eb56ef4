"""Cutout (DeVries & Taylor 2017, arXiv:1708.04552), with which NAD and ARGD train."""

from __future__ import annotations

import torch
from torch import Tensor

from nba_cli.training import Augmentation


def with_cutout(augment: Augmentation, side: int) -> Augmentation:
    """`augment`, and then a square of `side` pixels blacked out in every image; 0: none."""
    return lambda images, generator: blacked_out(augment(images, generator), side, generator)


def blacked_out(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Images [N,C,H,W] with a square of `side` pixels set to 0, its centre anywhere.

    Each image draws its own; at the border the square is cut off.
    """
    if not side:
        return images
    height, width = images.shape[2:]

    def covered(length: int) -> Tensor:
        centre = torch.randint(length, (len(images), 1), generator=generator, device=images.device)
        low = centre - side // 2
        place = torch.arange(length, device=images.device)
        return (place >= low) & (place < low + side)  # [N, length]

    hole = covered(height)[:, None, :, None] & covered(width)[:, None, None, :]
    return images.masked_fill(hole, 0.0)
