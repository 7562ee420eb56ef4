"""What a file says of the model in it, beside the weights: BackdoorBench's attack_result.pt says nearly all.

Read in its public code (commit f02e353): utils/save_load_attack.py writes model_name, num_classes, model, data_path,
img_size, clean_data, bd_train and bd_test; utils/bd_dataset_v2.py what the last two hold. All of it comes from
outside: what does not have the form that it should have counts as not said.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from nba_cli.victims.base import Victim
from nba_cli.victims.preact_resnet import PreActResNet18
from nba_cli.victims.torchvision import Torchvision, classifiers

TRIGGERED = "bd_test_dataset"
"""The folder of triggered test images that BackdoorBench leaves beside the file: <class>/<number of the image>.png."""

Statistics = tuple[list[float], list[float]]
"""Channel means and standard deviations that inputs are normalised by, for pixels in [0,1]."""

NORMALISATIONS: dict[str, Statistics] = {
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.247, 0.243, 0.261]),
    "cifar100": ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
    "tiny": ([0.4802, 0.4481, 0.3975], [0.2302, 0.2265, 0.2262]),
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "gtsrb": ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    "celeba": ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
}
"""Data set -> what BackdoorBench normalises its colour images by: a choice of its own, that no file repeats."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Fields:
    model_name: the architecture
    num_classes: the number of classes
    clean_data: the data set
    side: images have side x side pixels
    target: the class that every triggered image is to be taken for; None: not one class
    all2all: every triggered image is to be taken for its true class plus one
    """

    model_name: str | None = None
    num_classes: int | None = None
    clean_data: str | None = None
    side: int | None = None
    target: int | None = None
    all2all: bool = False

    @property
    def victim(self) -> Victim | None:
        """The victim that BackdoorBench means by `model_name`: its own PreActResNet18, else what torchvision builds.

        None: it names none, or an unknown one.
        """
        if self.model_name == "preactresnet18":
            return PreActResNet18()
        return Torchvision(name=self.model_name) if self.model_name in classifiers() else None

    @property
    def statistics(self) -> Statistics | None:
        """The normalisation that `clean_data` implies; None: of no data set that BackdoorBench normalises."""
        return NORMALISATIONS.get(self.clean_data or "")


def origin_of(payload: dict[str, Any]) -> Origin:
    """What a loaded file says."""
    name, data, count = (payload.get(key) for key in ("model_name", "clean_data", "num_classes"))
    num_classes = int(count) if isinstance(count, int) else None
    target, all2all = goal_of(triggered_labels(payload.get("bd_test")), num_classes)
    return Origin(
        model_name=name if isinstance(name, str) else None,
        num_classes=num_classes,
        clean_data=data if isinstance(data, str) else None,
        side=side_of(payload.get("img_size")),
        target=target,
        all2all=all2all,
    )


def side_of(size: Any) -> int | None:
    """The side of square images of `size` (height, width, channels)."""
    if not isinstance(size, (list, tuple)) or not all(isinstance(each, int) for each in size):
        return None
    return size[0] if len(size) in (2, 3) and size[0] == size[1] and size[0] > 0 else None


def triggered_labels(state: Any) -> list[tuple[int, int]]:
    """(wanted, true) class of every triggered image in the state of a test set; empty if it has another form."""
    for name in ("bd_data_container", "data_dict"):
        state = state.get(name) if isinstance(state, dict) else None
    kept = state.values() if isinstance(state, dict) else []
    with contextlib.suppress(TypeError, ValueError, RuntimeError, OverflowError):
        pairs = [each.get("other_info") if isinstance(each, dict) else None for each in kept]
        return [(int(wanted), int(true)) for wanted, true in pairs]  # type: ignore[misc]
    return []


def goal_of(labels: list[tuple[int, int]], num_classes: int | None) -> tuple[int | None, bool]:
    """What the attacker wants by (wanted, true) classes: one target, or each class plus one."""
    wanted = {one for one, _ in labels}
    if len(wanted) == 1 and min(wanted) >= 0:
        return wanted.pop(), False
    shifted = bool(labels) and num_classes is not None and num_classes > 0
    return None, shifted and all(one == (true + 1) % num_classes for one, true in labels)  # type: ignore[operator]
