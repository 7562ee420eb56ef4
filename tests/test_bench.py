"""The benchmark of scripts/bench: turns, ratios, and that every part of it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import torch

from scripts.bench import cleaning
from scripts.bench.race import Speed, race

CPU = torch.device("cpu")


def test_entrants_take_turns_and_their_start_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log = [0.0], []

    def entrant(name: str, start: float, each: float) -> Iterator[int]:
        clock[0] += start
        for number in count():
            log.append((name, number))
            yield 10
            clock[0] += each

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    speeds = race({"fast": lambda: entrant("fast", 100, 1), "slow": lambda: entrant("slow", 0, 5)}, 2, 10, CPU)
    assert speeds["fast"].rates == [10, 10] and speeds["slow"].rates == [2, 2]
    assert [name for name, number in log if number == 0] == ["fast", "slow", "fast", "slow"]


def test_a_ratio_is_taken_round_by_round() -> None:
    """The machine was three times as slow in the second round, and an entrant that is half as fast still is."""
    one, two = Speed([60, 20, 60]), Speed([120, 40, 110])
    assert one.over(two) == 0.5 and one.median == 60


def test_bare_passes_cost_what_each_kind_costs() -> None:
    assert cleaning.Bare(forward=1.0, backward=2.0).seconds({"forward": 3, "backward": 4}) == 11


@pytest.mark.slow
def test_every_part_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.bench", "--victims", "wrn_16_1", "--rounds", "1", "--seconds", "0.01"]
    file = tmp_path / "bench.json"
    subprocess.run([*command, "--file", str(file)], check=True, cwd=Path(__file__).parents[1])
    found = json.loads(file.read_text())
    assert found.keys() == {"training", "evaluation", "stamping", "defenses", "start", "made"}
    assert found["defenses"]["wrn_16_1"]["ft"]["ratio"] > 0 and found["defenses"]["wrn_16_1"]["none"]["ratio"] is None
