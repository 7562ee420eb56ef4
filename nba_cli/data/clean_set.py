"""The defender's clean set, and hold-outs of it."""

from __future__ import annotations

import torch
from torch import Tensor

from nba_cli import seeds
from nba_cli.data.draw import some_of
from nba_cli.data.images import Data
from nba_cli.errors import Refused


def hold_out(clean: Data, ratio: float, generator: torch.Generator) -> tuple[Data, Data]:
    """A set in two: the rest, and a share `ratio` of every class that is held out, at least one image of each.

    A class of one image keeps it.

    Raises:
        Refused: no class has two.
    """
    check_hold_out(clean)
    order = torch.randperm(len(clean), generator=generator, device=generator.device).to(clean.labels.device)
    labels = clean.labels[order]
    held = torch.zeros(len(clean), dtype=torch.bool, device=labels.device)
    for label in labels.unique():
        members = order[labels == label]
        held[members[: min(max(1, round(ratio * len(members))), len(members) - 1)]] = True
    return clean[~held], clean[held]


def check_hold_out(clean: Data) -> None:
    """Refuse a set of which `hold_out` could hold nothing out.

    Raises:
        Refused: no class has two images.
    """
    if int(clean.labels.unique(return_counts=True)[1].max()) < 2:
        raise Refused(f"{len(clean)} clean images are too few to hold some out: two of a class are needed.")


def clean_share(train: Data, ratio: float, seed: int, without: Tensor | None = None) -> Data:
    """The defender's clean set: `ratio` of every class of `train`, at least one image each, drawn by `seed`.

    None of the images `without` (int64) is drawn.

    Raises:
        Refused: what is left of a class is fewer than its share.
    """
    random = seeds.generator(seed, "clean share")
    allowed = torch.ones(len(train), dtype=torch.bool)
    if without is not None:
        allowed[without] = False
    picked = []
    for label in train.labels.unique():
        count = max(1, round(ratio * (train.labels == label).sum().item()))
        members = (train.labels == label) & allowed
        if (left := int(members.sum())) < count:
            raise Refused(
                f"dataset.clean_ratio={ratio}: class {label} has {left} images that the attacker left alone, "
                f"{count} are asked for. Lower it, or set dataset.clean_disjoint=false."
            )
        picked.append(some_of(members, count, random))
    return train[torch.cat(picked).sort().values]
