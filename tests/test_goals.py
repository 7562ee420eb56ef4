"""The goals for NBA: what each number is made of, and when a goal is met."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from nba_cli.runs import reading
from nba_cli.runs.declared import declared
from nba_cli.runs.presets import presets
from nba_cli.runs.record import Record
from scripts import goals

ROOT = Path(__file__).parents[1]
FILES = (Path("results/six_attacks"), Path("results/six_attacks/goals.md"))
BASE = {"acc": 0.86, "asr": 0.02, "ra": 0.7, "der": 0.94, "floor": 0.015, "reference": 0.72, "seconds": 100.0}
ORIGIN = ("day", "commit", "victim_commit", "torch", "processor", "instructions", "threads")
PLACES = {
    "acc": "figures.acc",
    "asr": "figures.asr",
    "ra": "figures.ra",
    "der": "der",
    "floor": "reference.asr",
    "reference": "reference.ra",
    "seconds": "seconds.defense",
}


def run(defense: str, attack: str, seed: int, options: Mapping[str, object] | None = None, **figures: float) -> Record:
    """A finished defense; figures that are not given are `BASE`."""
    recipe: dict[str, object] = {"stage": "defend", "precision": "bf16", "attack": attack, "defense": defense}
    recipe["defense.version"] = declared().versions["defense"][defense]
    recipe |= {f"defense.{name}": value for name, value in (options or {}).items()}
    numbers = {PLACES[name]: value for name, value in (BASE | figures).items()}
    return Record(ROOT, recipe, {"seed": seed}, dict.fromkeys(ORIGIN), numbers)


def found(records: list[Record], wanted: str) -> tuple[str, bool | None]:
    (goal,) = [goal for goal in goals.goals(records) if wanted in goal.wanted]
    return goal.number, goal.met


def test_without_runs_nothing_is_measured() -> None:
    assert {(goal.number, goal.met) for goal in goals.goals([])} == {("not measured", None)}
    assert "not measured |  |" in goals.page([], *FILES)


@pytest.mark.parametrize(("loss", "met"), [(0.009, True), (0.011, False)])
def test_the_loss_of_acc_is_the_mean_over_victims(loss: float, met: bool) -> None:
    records = [run("none", "sig", seed, acc=0.88 + seed / 100) for seed in (1, 2)]
    records += [run("nba", "sig", seed, acc=0.88 + seed / 100 - loss) for seed in (1, 2)]
    records += [run("none", "none", 1, acc=0.99), run("none", "wanet", 1, acc=0.99), run("nba", "wanet", 1, acc=0.1)]
    number, reached = found(records, "ACC loss at most 1")
    assert number.startswith(f"+{100 * loss:.2f} (") and number.endswith("n = 2") and reached is met
    assert found(records, "of clean models") == ("not measured", None)


def test_one_bad_victim_is_named_though_the_mean_will_do() -> None:
    records = [run("nba", attack, 1, asr=0.02) for attack in goals.SIX] + [run("nba", "cl", 2, asr=0.046)]
    assert found(records, "trigger + 1")[1] is True
    assert found(records, "every victim") == ("+3.10: cl, seed 2", False)


def test_robust_accuracy_is_measured_from_the_clean_victims() -> None:
    assert found([run("nba", "cl", 1, ra=0.7)], "RA at most 3 below") == ("+2.00, n = 1", True)
    assert found([run("nba", "cl", 1, ra=0.68)], "RA at most 3 below") == ("+4.00, n = 1", False)


def test_better_than_one_of_the_five_is_more_than_a_better_mean() -> None:
    ours = [run("nba", attack, 1, der=0.95) for attack in ("cl", "sig", "blend")]
    close = [run("ft", attack, 1, der=der) for attack, der in (("cl", 0.94), ("sig", 0.96), ("blend", 0.9))]
    below = [run("ft", attack, 1, der=der) for attack, der in (("cl", 0.9), ("sig", 0.91), ("blend", 0.92))]
    assert found(ours + close, "DER above that of `ft`,")[1] is False
    assert found(ours + below, "DER above that of `ft`,")[1] is True
    others = [run("clp", attack, 1, der=der) for attack, der in (("cl", 0.94), ("sig", 0.96), ("blend", 0.9))]
    assert found(ours + others, "DER above that of `clp`, on the mean")[1] is True


def test_a_baseline_has_a_goal_for_each_of_its_forms_and_trials_have_none() -> None:
    selected = {name.removeprefix("defense."): value for name, value in presets("defense", "ft")["selected"].items()}
    records = [
        run("nba", "cl", 1, ra=0.7),
        run("ft", "cl", 1, ra=0.6),
        run("ft", "cl", 1, selected, ra=0.65),
        run("ft", "cl", 1, selected | {"train.lr": 0.123}, ra=0.9),
    ]
    assert found(records, "RA above that of `ft`,")[0] == "+10.00, n = 1"
    assert found(records, "RA above that of `ft selected`,")[0] == "+5.00, n = 1"


def test_nba_without_pseudo_samples_is_a_control_of_its_own() -> None:
    records = [run("nba", "cl", 1, ra=0.7), run("nba", "cl", 1, {"pseudo": "none"}, ra=0.6)]
    assert found(records, "RA above that of `nba without_pseudo`") == ("+10.00, n = 1", True)


def test_the_deviation_over_seeds_is_taken_attack_by_attack() -> None:
    records = [run("nba", "cl", seed, acc=acc) for seed, acc in ((1, 0.86), (2, 0.87))]
    assert found(records, "deviation of ACC")[0] == "0.71; largest 0.71: cl"
    records += [run("nba", "sig", seed, acc=acc) for seed, acc in ((1, 0.8), (2, 0.82))]
    assert found(records, "deviation of ACC") == ("1.06; largest 1.41: sig", False)


def test_seconds_are_compared_with_anps() -> None:
    records = [run("nba", "cl", 1, seconds=90.0), run("anp", "cl", 1, seconds=100.0)]
    assert found(records, "seconds") == ("-10.00, n = 1", True)


def test_the_page_counts_the_victims() -> None:
    page = goals.page([run("nba", "cl", 1), run("nba", "cl", 2), run("nba", "none", 1)], *FILES)
    assert "badnets 0, trojan 0, blend 0, cl 2, sig 0, refool 0." in page


def test_the_kept_goals_are_those_of_the_kept_records() -> None:
    folder, file = FILES
    assert (ROOT / file).read_text() == goals.page(reading.read_all(ROOT / folder), *FILES), "make tables"
