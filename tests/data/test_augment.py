"""Batch augmentation."""

from __future__ import annotations

import torch

from nba_cli.data import Augment, to_float


def test_augment_makes_exactly_the_crops_and_flips_that_exist() -> None:
    image = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(1, 3, 4, 5)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))[0]
    legal = {}
    for top in range(3):
        for left in range(3):
            crop = padded[:, top : top + 4, left : left + 5]
            legal[crop.numpy().tobytes()] = (top, left, False)
            legal[crop.flip(2).numpy().tobytes()] = (top, left, True)
    out = Augment(crop=1, flip=True)(image.expand(400, -1, -1, -1), torch.Generator().manual_seed(0))
    assert out.dtype == torch.float32 and out.min() >= 0 and out.max() <= 1
    assert out.is_contiguous(memory_format=torch.channels_last)
    seen = {legal[(one * 255).round().to(torch.uint8).contiguous().numpy().tobytes()] for one in out}
    assert len(seen) == 18, "each image draws its own offset and flip"
    out = Augment(crop=1, flip=False)(image.expand(400, -1, -1, -1), torch.Generator().manual_seed(0))
    seen = {legal[(one * 255).round().to(torch.uint8).contiguous().numpy().tobytes()] for one in out}
    assert len(seen) == 9 and not any(flipped for _, _, flipped in seen), "crops alone"


def test_augment_without_flip_never_mirrors() -> None:
    image = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    image[..., 0] = 255
    out = Augment(crop=0, flip=False)(image.expand(50, -1, -1, -1), torch.Generator())
    assert torch.equal(out, to_float(image).expand_as(out))
    assert Augment(crop=0, flip=True)(image.expand(50, -1, -1, -1), torch.Generator())[..., 2].any()


def test_augment_runs_on_the_meta_device() -> None:
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8, device="meta")
    assert Augment()(images, torch.Generator()).is_meta and to_float(images).is_meta
