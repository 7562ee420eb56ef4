"""Length and learning rate of a training."""

from __future__ import annotations

from typing import Any

import pytest

from nba_cli.errors import Refused
from nba_cli.training import Plan, Schedule
from nba_cli.training.plan import rate_at


def rates(schedule: Schedule, total: int, *steps: int) -> list[float]:
    drops = [0.2, 0.5] if schedule is Schedule.drop else []
    return [rate_at(Plan(steps=total, schedule=schedule, drops=drops), step, total) for step in steps]


def test_schedules() -> None:
    assert rates(Schedule.onecycle, 10, 0, 1, 2) == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rates(Schedule.onecycle, 10, 6) == pytest.approx([0.5])
    assert rates(Schedule.cosine, 4, 0, 1, 2, 3) == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert rates(Schedule.drop, 10, 0, 1, 2, 4, 5, 9) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert set(rates(Schedule.constant, 4, 0, 1, 2, 3)) == {1.0}
    for schedule in Schedule:
        for total in (1, 2, 3, 50):
            assert all(0 < rate <= 1 for rate in rates(schedule, total, *range(total)))


def test_plan_lengths() -> None:
    assert Plan(epochs=3, batch=128).total(500) == 12, "500 images are 4 steps an epoch"
    assert Plan(epochs=0.5, batch=10).total(100) == 5
    assert Plan(steps=7).total(500) == 7
    assert Plan(epochs=0.001, batch=10).total(100) == Plan(steps=7).scaled(0.001).total(100) == 1, "a step at least"
    wrong: dict[str, Any]
    for wrong in ({}, {"epochs": 1, "steps": 1}):
        with pytest.raises(Refused, match="give one length and set the other to null"):
            Plan(**wrong)
    for wrong in (
        {"steps": 0},
        {"steps": 1, "batch": 0},
        {"steps": 1, "lr": 0.0},
        {"steps": 1, "momentum": 1.0},
        {"steps": 1, "average": 1.0},
        {"steps": 1, "schedule": Schedule.drop},
        {"steps": 1, "drops": [0.5, 0.2]},
        {"steps": 1, "drops": [1.0]},
    ):
        with pytest.raises(Refused):
            Plan(**wrong)
