"""Mean, spread, and what counts as better."""

from __future__ import annotations

import math
import random

import pytest

from nba_cli.reports.significance import by_victim, paired, student, summary, within


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (30, 2.0423)]
)
def test_students_t_as_in_the_printed_tables(freedom: int, t: float) -> None:
    assert student(freedom) == pytest.approx(t, abs=5e-5)


@pytest.mark.parametrize("freedom", [1, 2, 5, 8])
def test_probability_is_the_integral_of_the_density(freedom: int) -> None:
    scale = math.gamma((freedom + 1) / 2) / math.sqrt(freedom * math.pi) / math.gamma(freedom / 2)
    step = 1e-3
    places = [(k + 0.5) * step for k in range(int(1.7 / step))]
    area = sum(2 * step * scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2) for x in places)
    assert within(1.7, freedom) == pytest.approx(area, abs=1e-6)


def test_summary_has_the_sample_deviation_and_none_for_one_value() -> None:
    found = summary([1.0, 2.0, 6.0])
    assert (found.n, found.mean) == (3, 3.0) and found.std == pytest.approx(math.sqrt(7))
    assert summary([5.0]).std is None


def test_paired_difference_by_hand() -> None:
    found = paired({0: 3.0, 1: 5.0, 2: 4.0, 9: 100.0}, {2: 2.0, 0: 2.0, 1: 2.0})  # 9 has no partner
    assert found is not None and found.n == 3 and found.mean == 2.0
    half = 4.30265 * 1.0 / math.sqrt(3)  # gaps 1, 3, 2: deviation 1
    assert found.low == pytest.approx(2 - half, abs=1e-4) and found.high == pytest.approx(2 + half, abs=1e-4)
    assert found.sign == 0, "the interval holds 0: a tie"


def test_sign_follows_the_interval_and_one_pair_says_nothing() -> None:
    above, below = {0: 1.0, 1: 1.1, 2: 0.9}, {0: 0.0, 1: 0.0, 2: 0.0}
    better, worse, single = paired(above, below), paired(below, above), paired({0: 5.0}, {0: 1.0})
    assert better is not None and better.sign == 1
    assert worse is not None and worse.sign == -1
    assert single is not None and single.sign == 0 and single.low is None
    assert paired({0: 1.0}, {1: 1.0}) is None


def test_runs_of_one_victim_are_averaged_first() -> None:
    assert by_victim([(0, 1.0), (0, 3.0), (1, 5.0)]) == {0: 2.0, 1: 5.0}


@pytest.mark.parametrize(("victims", "repetitions"), [(2, 1), (2, 5), (3, 2), (5, 1), (5, 3)])
def test_what_is_equally_good_is_called_better_in_one_of_twenty_cases(victims: int, repetitions: int) -> None:
    """Two defenses without a true difference: victims spread by 1, repetitions on a victim by 0.3."""
    chance, trials, called = random.Random(0), 4000, 0

    def runs() -> dict:
        effect = [chance.gauss(0, 1) for _ in range(victims)]
        return by_victim((v, effect[v] + chance.gauss(0, 0.3)) for v in range(victims) for _ in range(repetitions))

    for _ in range(trials):
        found = paired(runs(), runs())
        assert found is not None and found.n == victims
        called += found.sign != 0
    assert 0.03 < called / trials < 0.07


def test_one_victim_never_makes_a_defense_better() -> None:
    ours, theirs = (by_victim((0, value + k / 1000) for k in range(5)) for value in (1.0, 0.0))
    found = paired(ours, theirs)
    assert found is not None and found.n == 1 and found.sign == 0 and found.low is None
