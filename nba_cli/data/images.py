"""Labelled images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

RESIZED = 2000  # images of 32x32 that are resized at a time


@dataclass
class Data:
    """A labelled image set held as two tensors.

    Fields:
        images: uint8 [N,C,H,W], 0..255.
        labels: int64 [N].
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(f"images must be uint8 [N,C,H,W], not {self.images.dtype} {list(self.images.shape)}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels must be int64 [{len(self.images)}], not {self.labels.dtype} {list(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> Data:
        return Data(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> Data:
        return Data(self.images.to(device), self.labels.to(device))

    def copy(self) -> Data:
        """The same set with images and labels of its own, to be written to."""
        return Data(self.images.clone(), self.labels.clone())

    def resized(self, size: int) -> Data:
        """The set with images of `size` x `size` pixels, bilinear; averaged over all that a new pixel covers."""
        images = self.images.new_empty(len(self), self.images.shape[1], size, size)
        larger = max((self.images, images), key=lambda each: each[0].numel())
        step = scaled_batch(RESIZED, larger)
        for part, old in zip(images.split(step), self.images.split(step), strict=True):
            part.copy_(F.interpolate(old, (size, size), mode="bilinear", antialias=True))
        return Data(images, self.labels)

    def batch(self, index: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images and labels at `index` on `device`; copies from the CPU to CUDA are pinned and asynchronous."""
        index = index.to(self.images.device)
        images, labels = self.images[index], self.labels[index]
        if images.device == device:
            return images, labels
        pinned = device.type == "cuda"  # to Apple's GPU, unpinned, it could read what has been freed (PyTorch 189690)
        if pinned:
            images, labels = images.pin_memory(), labels.pin_memory()
        return images.to(device, non_blocking=pinned), labels.to(device, non_blocking=pinned)

    def digest(self) -> str:
        """SHA-256 over shape, pixels and labels; equal exactly when the sets are equal."""
        sha = hashlib.sha256(str(tuple(self.images.shape)).encode())
        sha.update(self.images.cpu().contiguous().numpy().data)
        sha.update(self.labels.cpu().numpy().data)
        return sha.hexdigest()


def scaled_batch(batch: int, images: Tensor) -> int:
    """How many of images [N,C,H,W] to take at a time: `batch` of 32x32, of others as many as take the same memory."""
    return max(1, batch * 1024 // (images.shape[2] * images.shape[3]))


@dataclass
class Splits:
    """A loaded data set: everything that a stage needs to know of it."""

    train: Data
    test: Data
    num_classes: int
    defender: bool = False
    """Clean images are all there is: `train` is the defender's clean set, `test` its hold-out."""
    names: Sequence[str] = ()
    """Of the classes, by label, where the files give them names."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C,H,W) of the images."""
        channels, height, width = self.test.images.shape[1:]
        return channels, height, width

    def class_of(self, label: int) -> str:
        """A class in words: its name and its number, as in "cat (3)", or its number alone."""
        return f"{self.names[label]} ({label})" if self.names else str(label)
