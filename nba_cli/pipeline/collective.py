"""What all ranks of torchrun compute together: the training of a victim, and what it says of the test set.

Nothing here decides, reads or writes files: that is rank 0's, before and after.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attacks import Attack, poison
from nba_cli import devices, seeds
from nba_cli.data import Data, Dataset
from nba_cli.errors import Refused
from nba_cli.metrics import backdoor
from nba_cli.ranks import Ranks
from nba_cli.runs.settings import AttackRun
from nba_cli.training import Partner, Progress, cross_entropy, fit, silent
from nba_cli.victims import Network, Victim


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A network that other ranks receive as architecture and weights: what hangs on it (cost.Meter) stays behind.

    Fields:
        network: the network
        victim: its architecture
        num_classes: its number of classes
        shape: (C,H,W) of its images
    """

    network: Network
    victim: Victim
    num_classes: int
    shape: tuple[int, int, int]

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, (self.victim, self.num_classes, self.shape, self.network.state_dict())


def rebuilt(victim: Victim, num_classes: int, shape: tuple[int, int, int], state: dict[str, Tensor]) -> Copied:
    """The network on the CPU, with the weights and the normalisation in `state`."""
    network = victim.blank(num_classes, shape)
    network.load_state_dict(state)
    return Copied(network=network, victim=victim, num_classes=num_classes, shape=shape)


def train(
    ranks: Ranks,
    fresh: Copied,
    attack: Attack,
    source: tuple[Tensor, str],
    run: AttackRun,
    device: torch.device,
    dtype: torch.dtype,
    *,
    poisoned: Data | None = None,
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> tuple[Network, Partner | None]:
    """The victim, trained on the poisoned set, and what the attack trains beside it. `device` is rank 0's.

    Other ranks read and poison the training set themselves, because sending a large one takes its size in memory
    several times. `source` are the images to poison, int64 [P], and the digest of the clean set.

    Raises:
        Refused: this rank has another training set.
    """
    if poisoned is None:
        (index, digest), train = source, run.dataset.load().train
        if train.digest() != digest:
            raise Refused(f"rank {ranks.rank}: its training set is not that of rank 0. Give both the same one.")
        poisoned = poison(attack, train, index, fresh.num_classes, run.seed)
    device = devices.of_this_rank(device)
    network = fresh.network.to(device)
    joint = attack.joint_training(fresh.shape[0], fresh.num_classes, seeds.derive(run.seed, "partner"), device)
    objective, partner = joint or (cross_entropy, None)
    fit(
        network,
        run.dataset.place(poisoned, device),
        run.train,
        objective,
        augment=run.dataset.augment,
        generator=seeds.generator(run.seed, "train", device),
        dtype=dtype,
        progress=progress,
        phase="victim",
        option="train",
        checkpoint=checkpoint,
        partner=partner,
        ranks=ranks,
        compiling=run.compiling,
    )
    return network, partner


def measure(
    ranks: Ranks,
    copied: Copied,
    attack: Attack,
    test: Data,
    dataset: Dataset,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """The figures of a network on the test set, under the trigger of `attack`. `device` is rank 0's."""
    device = devices.of_this_rank(device)
    network, test = copied.network.to(device), dataset.place(test, device)
    return backdoor.measure(network, test, attack, copied.num_classes, dtype, ranks)
