"""Every defense on every victim, on every kind of backdoor and on a clean model: a short run of each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from builders import NEEDED

from nba_cli.data import Augment, Data
from nba_cli.defenses import DEFENSES, Evidence
from nba_cli.seeds import generator
from nba_cli.training import Optimizer, Plan
from nba_cli.victims import VICTIMS

STEP = Plan(steps=1, batch=4, lr=0.001)


ADAM = Plan(steps=1, batch=4, lr=0.001, optimizer=Optimizer.adam)


ONCE: dict[str, dict[str, Any]] = {
    "ft": {"train": STEP},
    "fp": {"step": 0.5, "train": STEP},
    "mcr": {"tune": STEP, "train": STEP},
    "nad": {"teacher": STEP, "student": STEP},
    "ft_nad": {"train": STEP},
    "ft_nba": {"train": STEP},
    "anp": {"train": STEP},
    "argd": {"teacher": STEP, "student": STEP},
    "ibau": {"train": ADAM, "inner": 1, "iterations": 1},
    "ftsam": {"train": STEP},
    "sau": {"train": ADAM, "steps": 1},
    "nba": {"teacher": STEP, "student": STEP, "craft_steps": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("defense", DEFENSES)
def test_every_defense_cleans_every_victim(defense: str, victim: str) -> None:
    images = torch.randint(0, 256, (12, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = Data(images, torch.arange(12) % 3)
    network = VICTIMS[victim](**NEEDED.get(victim, {})).build(3, data)
    given = Evidence(model=network, clean=data, num_classes=3, augment=Augment())
    cured = DEFENSES[defense](**ONCE.get(defense, {}))(given, generator(0, "defense"))
    assert cured is not network and type(cured) is type(network)
    assert cured.eval()(images.float() / 255).isfinite().all()
    assert cured.state_dict().keys() == network.state_dict().keys()
