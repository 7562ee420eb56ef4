"""The jobs of a sweep are those that Hydra lists, though none is made before it is asked for."""

from __future__ import annotations

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from nba_cli.errors import Refused
from nba_cli.runs import jobs
from nba_cli.runs.jobs import jobs_of


def parsed(*words: str) -> list:
    return OverridesParser.create().parse_overrides(list(words))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["seed=3"],
        ["attack=badnets,blend", "seed=range(3)", "attack.rate=0.1", "defense=ft,nad"],
        ["seed=range(7,0,-3)", "defense_seed=range(2,2.5)"],
        ["attack.rate=range(0,1,0.1)", "seed=0,0"],
        ["attack.rate=range(0.3,-0.4,-0.07)"],
        ["seed=range(2)", "seed=5,6", "+new=1,2", "victim.mean=[1,2],[3,4]", "dataset.path='a b',c"],
        ["seed=sort(3,1,2)", "train={steps:3},{steps:4}"],
    ],
)
def test_the_jobs_are_those_that_hydra_lists(words: list[str]) -> None:
    (wanted,) = BasicSweeper.split_arguments(parsed(*words), None)
    found = jobs_of(parsed(*words))
    assert list(found) == wanted and len(found) == len(wanted)
    assert [found[place] for place in range(len(found))] == wanted and found[-1] == wanted[-1]
    assert list(found[1:3]) == wanted[1:3]


def test_jobs_differ_in_what_has_several_values() -> None:
    assert jobs_of(parsed("attack=sig,cl", "seed=range(3)", "defense=ft,ft", "budget=equal")).swept == [
        "attack",
        "seed",
    ]


def test_a_shuffled_range_has_each_number_once() -> None:
    assert sorted(jobs_of(parsed("seed=shuffle(range(20))"))) == sorted(jobs_of(parsed("seed=range(20)")))


def test_no_job_is_made_before_it_is_asked_for() -> None:
    found = jobs_of(parsed("attack=sig,cl", "seed=range(1000)", "defense_seed=range(1000)"))
    assert len(found) == 2_000_000
    assert found[1_234_567] == ["attack=cl", "seed=234", "defense_seed=567"]


def test_more_jobs_than_anybody_waits_for_are_refused() -> None:
    words = ["seed=range(100000)", f"defense_seed=range({jobs.MOST})", "attack=sig,cl"]
    with pytest.raises(Refused, match=r"defense_seed: with its 10,000,000 values the sweep has 2,000,000,000,000 jobs"):
        jobs_of(parsed(*words))
    with pytest.raises(Refused, match="seed: with its 100,"):
        jobs_of(parsed("seed=shuffle(range(100000000000000000000))"))
