"""Every defense beside the bare passes that it makes.

The network is untrained, so that rules that stop when accuracy falls stop early or late: the time per pass means
something, the seconds of a whole defense do not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F

from nba_cli import devices
from nba_cli.data import to_float
from nba_cli.defenses import DEFENSES, Defense, Evidence
from nba_cli.metrics import Meter
from nba_cli.seeds import generator
from nba_cli.training import Plan
from scripts.bench.race import Entrant, race, wait
from scripts.bench.setting import BATCH, CLASSES, Setting, noise

CLEAN = 2500
BACKWARD = 6_400  # images that each defense passes backward
ROUNDS = 3


@dataclass(frozen=True)
class Bare:
    """Seconds that an image costs, in training mode, in batches as large as those of the defense."""

    forward: float
    backward: float

    def seconds(self, passes: dict[str, int]) -> float:
        return passes["forward"] * self.forward + passes["backward"] * self.backward


def bare(at: Setting, batch: int) -> Bare:
    """The cost of a bare pass, from networks that pass forward alone and forward and backward."""
    entrants: dict[str, Entrant] = {
        "forward": lambda: passes(at, batch, False),
        "both": lambda: passes(at, batch, True),
    }
    speeds = race(entrants, 1, at.seconds, at.device)
    forward, both = (1 / speeds[name].median for name in ("forward", "both"))
    return Bare(forward, both - forward)


def passes(at: Setting, batch: int, backward: bool) -> Iterator[int]:
    network, data = at.network().train(), noise(batch).to(at.device)
    x, y = to_float(data.images), data.labels
    while True:
        with torch.set_grad_enabled(backward), devices.autocast(at.device, at.dtype):
            loss = F.cross_entropy(network(x).float(), y)
        if backward:
            loss.backward()
            network.zero_grad()
        yield batch


def batch_of(defense: Defense) -> int:
    """The batch size of its longest training."""
    plans = [value for option in fields(defense) if isinstance(value := getattr(defense, option.name), Plan)]
    return max(plans, key=lambda plan: plan.images(CLEAN)).batch if plans else BATCH


def beside(at: Setting, name: str) -> dict[str, Any]:
    """Version, seconds and passes of a defense, and how many times as long it takes as its bare passes.

    That is the median of rounds; one run before them is not timed. `times` is None of a defense that makes less than a
    batch of passes.
    """
    run(at, name)
    found = []
    for _ in range(ROUNDS):
        cost, one = bare(at, batch_of(DEFENSES[name]())), run(at, name)
        expected = cost.seconds(one["passes"])
        enough = sum(one["passes"].values()) >= BATCH
        found.append(one | {"bare": vars(cost), "times": one["seconds"] / expected if enough else None})
    return {"version": DEFENSES[name].version} | sorted(found, key=lambda one: one["times"] or 0)[ROUNDS // 2]


def run(at: Setting, name: str) -> dict[str, Any]:
    """Seconds and passes of a defense, shortened to BACKWARD images; from what it is given to what it returns."""
    defense = DEFENSES[name]().with_budget(BACKWARD, CLEAN)
    network = at.network()
    evidence = Evidence(model=network, clean=noise(CLEAN).to(at.device), num_classes=CLASSES, dtype=at.dtype)
    meter = Meter(network)
    wait(at.device)
    began = time.perf_counter()
    defense(evidence, generator(0, "bench", at.device))
    wait(at.device)
    return {"seconds": time.perf_counter() - began, "passes": dict(meter.counts)}
