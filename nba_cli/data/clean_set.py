"""The defender's clean set, and hold-outs of it."""

from __future__ import annotations

import torch

from nba_cli import seeds
from nba_cli.data.images import Data
from nba_cli.errors import Refused


def hold_out(clean: Data, ratio: float, generator: torch.Generator) -> tuple[Data, Data]:
    """A set in two: the rest, and a share `ratio` of every class that is held out, at least one image of each.

    A class of one image keeps it.

    Raises:
        Refused: no class has two.
    """
    order = torch.randperm(len(clean), generator=generator, device=generator.device).to(clean.labels.device)
    labels = clean.labels[order]
    held = torch.zeros(len(clean), dtype=torch.bool, device=labels.device)
    for label in labels.unique():
        members = order[labels == label]
        held[members[: min(max(1, round(ratio * len(members))), len(members) - 1)]] = True
    if not held.any():
        raise Refused(f"{len(clean)} clean images are too few to hold some out: two of a class are needed.")
    return clean[~held], clean[held]


def clean_share(train: Data, ratio: float, seed: int) -> Data:
    """The defender's clean set: `ratio` of every class of `train`, at least one image each, drawn by `seed`."""
    random = seeds.generator(seed, "clean share")
    picked = []
    for label in train.labels.unique():
        members = (train.labels == label).nonzero().flatten()
        count = max(1, round(ratio * len(members)))
        picked.append(members[torch.randperm(len(members), generator=random)[:count]])
    return train[torch.cat(picked).sort().values]
