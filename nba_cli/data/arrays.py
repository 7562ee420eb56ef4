"""NumPy arrays -> checked uint8 tensors."""

from __future__ import annotations

import numpy as np
import torch

from nba_cli.data.images import Data
from nba_cli.errors import Refused

MOST_CLASSES = 1_000_000  # more are a mistake that no network could be built for


def to_data(images: np.ndarray, labels: np.ndarray, where: str) -> Data:
    """Keras layout ([N,H,W] or [N,H,W,C] uint8 images, [N] or [N,1] integer labels) -> Data.

    Raises:
        Refused: another shape or type; `where` names the array in the message.
    """
    if images.dtype != np.uint8:
        raise Refused(f"{where}: images are {images.dtype}; they must be uint8 in 0..255.")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise Refused(f"{where}: images have shape {list(images.shape)}; they must be [N,H,W], [N,H,W,1] or [N,H,W,3].")
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise Refused(f"{where}: labels are {labels.dtype} {list(labels.shape)}; they must be integers [N].")
    if len(labels) != len(images):
        raise Refused(f"{where}: {len(images)} images but {len(labels)} labels.")
    if not len(labels):
        raise Refused(f"{where}: there is no image in it.")
    if labels.min() < 0:
        raise Refused(f"{where}: label {labels.min()} is negative; classes count from 0.")
    if labels.max() > np.iinfo(np.int64).max:
        raise Refused(f"{where}: label {labels.max()} is no number of a class; classes count from 0.")
    # torch's parallel copy of a permuted view, not NumPy's: loading CIFAR-10 spends most of its time here
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    return Data(pixels.contiguous(), torch.from_numpy(labels.astype(np.int64)))


def count_classes(data: Data, where: str) -> int:
    """The number of classes, the largest label + 1.

    Raises:
        Refused: there is one class only, or a label is too large to be a class.
    """
    count = int(data.labels.max()) + 1
    if count > MOST_CLASSES:
        raise Refused(f"{where}: label {count - 1:,} among {len(data):,} images; classes count from 0.")
    if count < 2:
        raise Refused(f"{where}: all training labels are 0; a classifier needs two classes or more.")
    return count
