"""What BackdoorBench leaves in the folder of an attack, as its public code writes it (commit f02e353):
utils/save_load_attack.py the file, utils/bd_dataset_v2.py the states in it and the images beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import models


@dataclass
class Elsewhere:
    """Fields:
    file: attack_result.pt, beside bd_test_dataset
    network: the model in it, without normalisation
    clean: test images uint8 [N,H,W,3]
    stamped: the same, triggered
    labels: their true classes [N]
    target: the class that the attacker wants
    """

    file: Path
    network: nn.Module
    clean: np.ndarray
    stamped: np.ndarray
    labels: np.ndarray
    target: int

    def said(self, images: np.ndarray, mean: list[float], std: list[float]) -> np.ndarray:
        """What the network says of images uint8 [N,H,W,3], normalised by its author's statistics; classes [N]."""
        x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            logits = self.network.eval()((x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
        return logits.argmax(1).numpy()

    def rewrite(self, **changes: Any) -> None:
        """Write the file again with other entries; those that are None are left out."""
        payload = torch.load(self.file, weights_only=False) | changes
        torch.save({key: value for key, value in payload.items() if value is not None}, self.file)


def state(labels: np.ndarray, wanted: np.ndarray, poisoned: np.ndarray, folder: str) -> dict[str, Any]:
    """What prepro_cls_DatasetBD_v2.retrieve_state returns: where each poisoned image is, and its wanted and true class.

    Paths are relative to the folder in which BackdoorBench ran; numbers are NumPy's.
    """
    kept = {
        index: {"path": f"{folder}/{labels[index]}/{index}.png", "other_info": [int(wanted[index]), int(labels[index])]}
        for index in np.arange(len(labels))[poisoned]
    }
    return {
        "bd_data_container": {"save_folder_path": folder, "data_dict": kept, "save_file_format": ".png"},
        "getitem_all": True,
        "getitem_all_switch": False,
        "original_index_array": np.arange(len(labels))[poisoned],
        "poison_indicator": poisoned.astype(np.float64),
        "save_folder_path": folder,
    }


def telling_apart(classes: int, *images: np.ndarray) -> nn.Module:
    """An untrained MobileNetV2 that takes images uint8 [N,H,W,3] for many classes: figures tell models apart."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = models.mobilenet_v2(num_classes=classes).train()
        x = torch.from_numpy(np.concatenate(images)).permute(0, 3, 1, 2) / 127.5 - 1
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0  # one pass is enough
        network(x)
        network.classifier[-1].bias -= network.eval()(x).mean(0)  # type: ignore[operator]
    return network


def attack_result(
    record: Path, arrays: dict[str, np.ndarray], *, target: int = 2, clean_data: str = "cifar10", all2all: bool = False
) -> Elsewhere:
    """What an attack leaves that turns the centre of images white: test images of `arrays` (Keras convention)."""
    labels, clean = arrays["y_test"].astype(np.int64), arrays["x_test"]
    classes, side = int(labels.max()) + 1, clean.shape[1]
    wanted = (labels + 1) % classes if all2all else np.full_like(labels, target)
    stamped = clean.copy()
    stamped[:, side // 4 : -(side // 4), side // 4 : -(side // 4)] = 255
    for index in np.flatnonzero(wanted != labels):
        file = record / f"bd_test_dataset/{labels[index]}/{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(stamped[index]).save(file)
    network = telling_apart(classes, clean, stamped)
    train, ran_in = arrays["y_train"].astype(np.int64), f"./record/{record.name}"
    tenth = np.arange(len(train)) % 10 == 0
    payload = {
        "model_name": "mobilenet_v2",
        "num_classes": classes,
        "model": network.state_dict(),
        "data_path": f"./data/{clean_data}",
        "img_size": (side, side, 3),
        "clean_data": clean_data,
        "bd_train": state(train, np.full_like(train, target), tenth, f"{ran_in}/bd_train_dataset"),
        "bd_test": state(labels, wanted, wanted != labels, f"{ran_in}/bd_test_dataset"),
    }
    torch.save(payload, record / "attack_result.pt")
    return Elsewhere(record / "attack_result.pt", network, clean, stamped, labels, target)
