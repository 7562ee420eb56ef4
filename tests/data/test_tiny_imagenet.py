"""Tiny ImageNet in the layout in which it unpacks, with images of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from nba_cli.data import tree
from nba_cli.data.tiny_imagenet import TinyImagenet
from nba_cli.errors import Refused

CLASSES = ("n01443537", "n01629819")
VAL = {"val_0.JPEG": 1, "val_1.JPEG": 0, "val_2.JPEG": 1}


def write(file: Path, level: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (level, 0, 0)).save(file, quality=95)


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """Class k is red of level 100 k + 50; training images 3 a class, validation images as in VAL."""
    root = tmp_path / "tiny-imagenet-200"
    for label, wnid in enumerate(CLASSES):
        for number in range(3):
            write(root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", 100 * label + 50)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("passed over")
    for name, label in VAL.items():
        write(root / "val" / "images" / name, 100 * label + 50)
    write(root / "test" / "images" / "test_0.JPEG", 0)  # without labels
    annotate(root, VAL)
    (root / "wnids.txt").write_text("passed over")
    return root


def annotate(root: Path, labels: dict[str, int]) -> None:
    lines = [f"{name}\t{CLASSES[label]}\t0\t32\t44\t62\n" for name, label in labels.items()]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    tree.source.cache_clear()


def test_labels_are_those_of_folders_and_annotations(unpacked: Path) -> None:
    splits = TinyImagenet(path=str(unpacked)).load()
    assert splits.num_classes == 2 and splits.train.images.shape == (6, 3, 64, 64)
    assert splits.train.labels.tolist() == [0, 0, 0, 1, 1, 1] and splits.test.labels.tolist() == [0, 1, 1]
    for data in (splits.train, splits.test):
        red = data.images[:, 0].float().mean((1, 2))
        assert (red - (100 * data.labels + 50)).abs().max() < 3, "each image has the label of its colour"


def test_another_annotation_is_another_set(unpacked: Path) -> None:
    """Even one that leaves the images in the same order: val_1 alone is of the first class, then val_0 is, too."""
    before = TinyImagenet(path=str(unpacked))
    name, first = before.identity(), before.load()
    annotate(unpacked, VAL | {"val_0.JPEG": 0, "val_1.JPEG": 1})
    other = TinyImagenet(path=str(unpacked))
    assert other.identity() != name and other.load().test.digest() != first.test.digest()
    annotate(unpacked, {"val_0.JPEG": 0, "val_1.JPEG": 0, "val_2.JPEG": 1})
    one = TinyImagenet(path=str(unpacked)).identity()
    annotate(unpacked, {"val_0.JPEG": 0, "val_1.JPEG": 1, "val_2.JPEG": 1})
    assert TinyImagenet(path=str(unpacked)).identity() != one, "the same files in the same order"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "val/val_annotations.txt").unlink(), r"val_annotations.txt: cannot be read"),
        (lambda root: annotate(root, {"val_0.JPEG": 0, "val_1.JPEG": 1}), r"val_2.JPEG: val/val_annotations.txt does"),
        (lambda root: annotate(root, VAL | {"val_9.JPEG": 0}), r"it names val_9.JPEG, which is not in"),
        (lambda root: (root / "val/val_annotations.txt").write_text("val_0.JPEG\n"), r"line 1: it must name an image"),
        (
            lambda root: (root / f"train/{CLASSES[0]}").rename(root / "train/n09"),
            rf"val_annotations.txt: val_1.JPEG is of class {CLASSES[0]}, which is not in train/; it has n0",
        ),
        (lambda root: (root / "val/images").rename(root / "val/other"), r"val/images: no such folder. dataset=tiny_im"),
        (
            lambda root: (root / f"train/{CLASSES[0]}/images").rename(root / f"train/{CLASSES[0]}/all"),
            rf"train/{CLASSES[0]}/images: no such folder. dataset=tiny_im",
        ),
    ],
)
def test_another_layout_is_refused_by_name(unpacked: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(unpacked)
    tree.source.cache_clear()
    with pytest.raises(Refused, match=message):
        TinyImagenet(path=str(unpacked)).load()
