"""Labelled images in memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nba_cli.data import Data, scaled_batch
from nba_cli.data.torchvision import Cifar10
from nba_cli.errors import Refused


def test_digest_sees_pixels_labels_and_shape(tiny: Data) -> None:
    images, labels = tiny.images.clone(), tiny.labels.clone()
    images[0, 0, 0, 0] += 1
    labels[0] = 2
    views = [
        tiny,
        Data(images, tiny.labels),
        Data(tiny.images, labels),
        Data(tiny.images.reshape(240, 3, 8, 32), tiny.labels),
    ]
    assert len({data.digest() for data in views}) == 4


def test_larger_images_are_taken_fewer_at_a_time() -> None:
    found = [scaled_batch(100, torch.zeros(1, 3, side, side, device="meta")) for side in (16, 32, 64, 96, 4096)]
    assert found == [400, 100, 25, 11, 1]


def test_data_checks_types() -> None:
    with pytest.raises(ValueError, match="uint8"):
        Data(torch.zeros(1, 3, 4, 4), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(ValueError, match="labels must be int64"):
        Data(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))


def test_what_is_not_pinned_is_copied_before_anything_else_happens(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, to = [], torch.Tensor.to

    def noted(tensor: torch.Tensor, *given: Any, **more: Any) -> torch.Tensor:
        asked.append(more.get("non_blocking", False))
        return to(tensor, *given, **more)

    monkeypatch.setattr(torch.Tensor, "to", noted)
    images, labels = tiny.batch(torch.tensor([3, 1]), torch.device("meta"))
    assert images.is_meta and labels.is_meta and asked and not any(asked)


def test_batches_follow_the_model_from_the_cpu(tiny: Data) -> None:
    index = torch.tensor([3, 1])
    images, labels = tiny.batch(index, torch.device("cpu"))
    assert torch.equal(images, tiny.images[index]) and torch.equal(labels, tiny.labels[index])
    images, labels = tiny.batch(index, torch.device("meta"))
    assert images.is_meta and labels.is_meta
    meta = torch.device("meta")
    assert Cifar10().place(tiny, meta).images.is_meta and not Cifar10(device="cpu").place(tiny, meta).images.is_meta
    with pytest.raises(Refused, match="choose auto"):
        Cifar10(device="gpu")
