"""Tiny ImageNet, as its archive unpacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nba_cli.data import tree
from nba_cli.data.folder import Folder
from nba_cli.data.tree import Layout, Tree
from nba_cli.errors import Refused

ANNOTATIONS = "val/val_annotations.txt"


def annotated(folder: Path) -> Tree:
    """The image files: train/<class>/images/*, and those of val/images by the class that `ANNOTATIONS` gives each.

    Raises:
        Refused: a folder or the annotations are missing, or these do not give each image a class of train/.
    """
    classes, images = tree.classes_of(folder / "train"), folder / "val" / "images"
    if lacking := next((where for where in (images, *places(folder, classes)) if not where.is_dir()), None):
        raise Refused(f"{lacking}: no such folder. dataset=tiny_imagenet reads tiny-imagenet-200 as it unpacks.")
    said = read_annotations(folder / ANNOTATIONS)
    held: dict[str, list[Path]] = {}
    for file in tree.image_files(images):
        if file.name not in said:
            raise Refused(f"{file}: {ANNOTATIONS} does not say of which class it is.")
        if (name := said.pop(file.name)) not in classes:
            known = ", ".join(classes[:5])
            raise Refused(
                f"{folder / ANNOTATIONS}: {file.name} is of class {name}, which is not in train/; it has {known} …"
            )
        held.setdefault(name, []).append(file)
    if said:
        raise Refused(f"{folder / ANNOTATIONS}: it names {next(iter(said))}, which is not in {images}.")
    train = {name: tree.image_files(place) for name, place in zip(classes, places(folder, classes), strict=True)}
    return {"train": train, "val": dict(sorted(held.items()))}


def places(folder: Path, classes: list[str]) -> list[Path]:
    return [folder / "train" / name / "images" for name in classes]


def read_annotations(file: Path) -> dict[str, str]:
    """Image -> class: the first two words of each line, a box behind them.

    Raises:
        Refused: the file cannot be read, or a line has another form.
    """
    found = {}
    for number, line in enumerate(tree.read(file).decode(errors="replace").splitlines(), start=1):
        words = line.split()
        if len(words) < 2:
            raise Refused(f"{file}, line {number}: it must name an image and its class.")
        found[words[0]] = words[1]
    return found


@dataclass(kw_only=True)
class TinyImagenet(Folder):
    """Tiny ImageNet (Le & Yang 2015): 100,000 + 10,000 colour images of 64x64, 200 classes.

    `path` is the folder tiny-imagenet-200, as it unpacks: train/<class>/images/*.JPEG, val/images/*.JPEG and
    val/val_annotations.txt. The validation images are the test set: the labels of the archive's own are not public.
    """

    layout: ClassVar[Layout] = Layout(annotated, (ANNOTATIONS,))

    size: int | None = 64
    flip: bool = True
