"""The benchmark of scripts/bench: turns, ratios, and that every part of it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import torch

from nba_cli.defenses import CLP, DEFENSES, FTKD, NAD
from nba_cli.devices import Precision
from scripts.bench import cleaning, sweeps
from scripts.bench.page import page
from scripts.bench.race import Speed, race
from scripts.bench.scaling import draw, exponent
from scripts.bench.setting import Setting
from scripts.bench.start import until

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
    assert [name for name, number in log if number == 0] == ["fast", "slow", "slow", "fast"]


def test_a_ratio_is_taken_round_by_round() -> None:
    """The machine was three times as slow in the second round, and an entrant that is half as fast still is."""
    one, two = Speed([60, 20, 60]), Speed([120, 40, 110])
    assert one.over(two) == 0.5 and one.median == 60


def test_every_second_round_runs_the_other_way_round() -> None:
    log = []

    def entrant(name: str) -> Iterator[int]:
        log.append(name)
        yield from iter(int, 1)  # zeros without end

    race({name: partial(entrant, name) for name in "abc"}, 2, 0.0, CPU)
    assert "".join(log) == "abccba"


def test_a_backward_pass_costs_what_both_cost_more_than_a_forward_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "race", lambda *_: {"forward": Speed([1.0]), "both": Speed([0.25])})
    cost = cleaning.bare(Setting("wrn_16_1", CPU, Precision.fp32, 1, 0.0), 64)
    assert (cost.forward, cost.backward) == (1.0, 3.0)
    assert cost.seconds({"forward": 3, "backward": 4}) == 15


def test_bare_passes_come_in_batches_like_those_of_the_defense() -> None:
    assert (cleaning.batch_of(NAD()), cleaning.batch_of(FTKD()), cleaning.batch_of(CLP())) == (64, 128, cleaning.BATCH)
    some = cleaning.passes(Setting("wrn_16_1", CPU, Precision.fp32, 1, 0.0), 7, backward=False)
    assert next(some) == 7


def test_a_peak_is_that_of_the_command_alone() -> None:
    """On Linux a child's peak begins at that of the process that starts it."""
    torch.zeros(500_000_000, dtype=torch.uint8).add_(1)
    assert until("", [sys.executable, "-c", "print()"])[1] < 100_000_000


def test_the_exponent_of_a_power_law_is_found(tmp_path: Path) -> None:
    square = {size: 0.5 + (size / 100) ** 2 for size in (1, 10, 1000, 2000)}
    assert exponent(square) == pytest.approx(2, abs=0.01), "what is fixed weighs nothing at the end"
    assert exponent({10: 3.0, 100: 3.0}) == 0
    draw({"squares": square, "again": square, "once more": square}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_table_of_runs_that_are_not_there_is_not_timed(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="exit code 2"):
        sweeps.table(tmp_path / "nowhere")


@pytest.mark.slow
def test_a_sweep_and_a_table_of_its_runs_are_timed(tmp_path: Path) -> None:
    took = sweeps.sweep("basic", 2, tmp_path)
    with pytest.raises(SystemExit, match="device=tpu: not a device"):
        sweeps.sweep("basic", 2, tmp_path, device="tpu")
    assert took > 0 and len(list(tmp_path.glob("basic/attack/*/metrics.json"))) == 2
    sweeps.fill(400, tmp_path / "many", next(tmp_path.glob("basic/attack/*/metrics.json")))
    one = sweeps.table(tmp_path / "many")
    assert one["peak"] > 1 and one["seconds"] > 0


def test_a_page_takes_what_there_is(tmp_path: Path) -> None:
    start = {"first_step": 4.16, "peak": 3e9, "torch": 2.5e9}
    (tmp_path / "a.json").write_text(json.dumps({"start": {"wrn_16_1": start}, "made": {"commit": "abc"}}))
    (tmp_path / "b.json").write_text(json.dumps({"start": {"vgg16_bn": start | {"first_step": 9.0}}, "a series": {}}))
    assert page(tmp_path).splitlines()[2:] == ["| wrn_16_1 | 4.2 | 0.50 |", "| vgg16_bn | 9.0 | 0.50 |"]


@pytest.mark.slow
def test_every_part_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.bench", "--victims", "wrn_16_1", "--rounds", "1", "--seconds", "0.01"]
    command += ["--defenses", "none", "ft", "clp", "nba"]  # all fifteen take a quarter of an hour
    file = tmp_path / "bench.json"
    subprocess.run([*command, "--file", str(file)], check=True, cwd=Path(__file__).parents[1])
    found = json.loads(file.read_text())
    assert found.keys() == {"training", "evaluation", "stamping", "defenses", "start", "sweeps", "made"}
    times = {name: one["times"] for name, one in found["defenses"]["wrn_16_1"].items()}
    assert times["ft"] > 0 and times["none"] is None and times["clp"] is None
    assert found["defenses"]["wrn_16_1"]["nba"]["version"] == DEFENSES["nba"].version
    head = [line.split("|")[1].strip() for line in page(tmp_path).splitlines() if line.startswith("| ")]
    assert {"train", "evaluate", "defense", "stamp", "start", "sweeps"} < set(head)
