"""The goals for NBA: what each number is made of, and when a goal is met."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from nba_cli.errors import Refused
from nba_cli.runs import reading
from nba_cli.runs.declared import declared
from nba_cli.runs.presets import presets
from nba_cli.runs.record import Record
from scripts import goals, judging

ROOT = Path(__file__).parents[1]
FILES = (Path("results/six_attacks"), Path("results/six_attacks/goals.md"))
BASE = {
    "acc": 0.862,
    "asr": 0.02,
    "ra": 0.7,
    "der": 0.94,
    "floor": 0.0149,
    "reference": 0.72,
    "before": 0.87,
    "seconds": 100.0,
}
PLACES = {
    "acc": "figures.acc",
    "asr": "figures.asr",
    "ra": "figures.ra",
    "der": "der",
    "floor": "reference.asr",
    "reference": "reference.ra",
    "before": "before.acc",
    "seconds": "seconds.defense",
}
MACHINE = {"processor": "CPU X", "threads": 1}
ORIGIN = dict.fromkeys(("day", "commit", "victim_commit", "torch", "instructions")) | MACHINE
SELECTED = {name.removeprefix("defense."): value for name, value in presets("defense", "ft")["selected"].items()}


def run(
    defense: str, attack: str, seed: int, options: Mapping[str, object] | None = None, /, **figures: float
) -> Record:
    """A finished defense; figures that are not given are `BASE`, options are the defense's or dataset.…"""
    recipe: dict[str, object] = {"stage": "defend", "precision": "bf16", "attack": attack, "defense": defense}
    recipe["defense.version"] = declared().versions["defense"][defense]
    for name, value in (options or {}).items():
        recipe[name if name.startswith("dataset.") else f"defense.{name}"] = value
    numbers = {PLACES[name]: value for name, value in (BASE | figures).items()}
    return Record(ROOT, recipe, {"seed": seed}, ORIGIN, numbers)


def all_of(defense: str, options: Mapping[str, object] | None = None, /, **figures: float) -> list[Record]:
    """Its runs on every victim that is planned."""
    return [run(defense, attack, seed, options, **figures) for attack in goals.SIX for seed in goals.SEEDS]


def found(records: list[Record], wanted: str) -> tuple[str, int, bool | None]:
    (goal,) = [goal for goal in goals.goals(records) if goal.wanted.startswith(wanted)]
    return goal.number, goal.n, goal.met


def test_without_runs_every_goal_is_open() -> None:
    assert {(goal.number, goal.n, goal.met) for goal in goals.goals([])} == {("not measured", 0, None)}
    assert len(goals.goals([])) == 5 + 2 * (11 + 8 + 3) + 3
    assert goals.forms("anp") == ["anp", "anp published", "anp selected"]


@pytest.mark.parametrize(
    ("wanted", "figures", "number", "met"),
    [
        ("ASR - the clean victim's", {"floor": 0.0101}, "+0.99", True),
        ("ASR - the clean victim's", {"floor": 0.0099}, "+1.01", False),
        ("the same, of the worst victim", {"asr": 0.0449}, "+3.00, badnets, seed 1", True),
        ("the same, of the worst victim", {"asr": 0.0451}, "+3.02, badnets, seed 1", False),
        ("ACC of the victim", {"before": 0.8719}, "+0.99", True),
        ("ACC of the victim", {"before": 0.8721}, "+1.01", False),
        ("the clean victim's RA", {"reference": 0.7299}, "+2.99", True),
        ("the clean victim's RA", {"reference": 0.7301}, "+3.01", False),
    ],
)
def test_a_goal_about_the_mean(wanted: str, figures: dict[str, float], number: str, met: bool) -> None:
    ours, count, verdict = found(all_of("nba", **figures), wanted)
    assert (ours.partition(" (")[0], count, verdict) == (number, 18, met)
    assert found(all_of("nba", **figures)[1:], wanted)[1:] == (17, False if "worst" in wanted and not met else None)


@pytest.mark.parametrize(("before", "met"), [(0.8719, True), (0.8721, False)])
def test_what_clean_models_lose_is_a_goal_of_its_own(before: float, met: bool) -> None:
    records = [run("nba", "none", seed, before=before) for seed in goals.SEEDS]
    assert found([*records, *all_of("nba", before=0.99)], "the same of clean models")[1:] == (3, met)


def test_beside_it_stand_the_intervals_for_other_attacks_and_for_other_seeds_of_these() -> None:
    """Two attacks of three seeds each: six victims of gaps 1 and 3, but two attacks, and no spread within them."""
    gaps = {attack: 0.01 * (2 * k + 1) for k, attack in enumerate(goals.SIX[:2])}
    ours = [run("nba", attack, seed, ra=0.5 + gap) for attack, gap in gaps.items() for seed in goals.SEEDS]
    theirs = [run("ft", attack, seed, ra=0.5) for attack in gaps for seed in goals.SEEDS]
    (goal,) = [goal for goal in goals.goals(ours + theirs) if goal.wanted.startswith("RA - that of `ft`")]
    assert goal.other_attacks == f"{2 - 12.706:+.2f} to {2 + 12.706:+.2f}"
    assert goal.same_attacks == "+2.00 to +2.00"
    half = 2.5706 * 1.2**0.5 / 6**0.5
    assert goal.number == f"+2.00 ({2 - half:+.2f} to {2 + half:+.2f})"


def test_the_last_number_leaves_out_the_attacks_on_which_settings_were_chosen() -> None:
    """Four attacks of gap 1 or 3, and two, those of the development victims, of gap 50."""
    gaps = dict(zip(goals.SIX, (1, 1, 50, 3, 50, 3), strict=True))
    ours = [run("nba", attack, seed, ra=0.5 + gap / 100) for attack, gap in gaps.items() for seed in goals.SEEDS]
    theirs = [run("ft", attack, seed, ra=0.5) for attack in gaps for seed in goals.SEEDS]
    (goal,) = [goal for goal in goals.goals(ours + theirs) if goal.wanted.startswith("RA - that of `ft`")]
    half = 2.20099 * (12 / 11) ** 0.5 / 12**0.5
    assert goal.unseen == f"+2.00 ({2 - half:+.2f} to {2 + half:+.2f})"
    assert {gaps[attack] for attack in judging.CHOSEN_ON} == {50}
    clean = [run("nba", "none", seed) for seed in goals.SEEDS]
    (goal,) = [goal for goal in goals.goals(clean) if goal.wanted.startswith("the same of clean models")]
    assert goal.number and goal.unseen == "", "there is nothing to leave out"


def test_the_interval_for_the_same_attacks_knows_the_spread_within_them_alone() -> None:
    """Gaps 1 and 3 of one attack, 5 and 5 of another: variances 2 and 0, two degrees of freedom."""
    ours = {("a", 1): 1.0, ("a", 2): 3.0, ("b", 1): 5.0, ("b", 2): 5.0}
    gap = judging.within_attacks(ours)
    assert gap is not None and (gap.n, gap.mean) == (4, 3.5)
    assert (gap.low, gap.high) == pytest.approx((3.5 - 4.3027 * 0.5, 3.5 + 4.3027 * 0.5), abs=1e-4)
    for fewer in ({("a", 1), ("b", 1)}, {("a", 1), ("a", 2)}, {("a", 1), ("a", 2), ("b", 1)}):
        assert judging.within_attacks({victim: ours[victim] for victim in fewer}) is None


def better_on_two(defense: str, figure: str) -> list[Record]:
    """Runs of a defense that is better than NBA on two attacks and worse on the mean."""
    return [
        run(defense, attack, seed, **{figure: BASE[figure] + (0.04 if attack in goals.SIX[:2] else -0.05)})
        for attack in goals.SIX
        for seed in goals.SEEDS
    ]


def test_a_goal_that_is_met_on_the_mean_alone_says_so() -> None:
    """`ft_kd` is worse than NBA on the mean, and better on some attacks."""
    ours, base, mixed = all_of("nba"), BASE["ra"], better_on_two("ft_kd", "ra")
    for records, verdict in ((mixed, "yes, but the interval includes 0"), (all_of("ft_kd", ra=base - 0.05), "yes")):
        (goal,) = [goal for goal in goals.goals(ours + records) if goal.wanted.startswith("RA - that of `ft_kd`")]
        assert goal.line().endswith(f"| {verdict} |")


@pytest.mark.parametrize("figure", ["der", "ra"])
@pytest.mark.parametrize("defense", [*goals.FIVE, *goals.OTHERS, "ft_kd", "ft_nba"])
def test_nba_has_to_be_better_on_the_mean_and_than_the_five_surely(defense: str, figure: str) -> None:
    ours, base, mixed = all_of("nba"), BASE[figure], better_on_two(defense, figure)
    wanted = f"{figure.upper()} - that of `{defense}`"
    assert found(ours + all_of(defense, **{figure: base - 0.05}), wanted)[2] is True
    assert found(ours + mixed, wanted)[2] is (defense not in goals.FIVE), "the interval holds 0"
    assert found(ours + all_of(defense, **{figure: base + 0.05}), wanted)[2] is False, "surely worse"
    assert found(ours + all_of(defense), wanted)[2] is False, "as good is not better"


def test_every_form_of_a_baseline_has_a_goal_though_it_has_no_runs() -> None:
    records = [
        run("nba", "cl", 1, ra=0.7),
        run("ft", "cl", 1, SELECTED, ra=0.65),
        run("ft", "cl", 1, SELECTED | {"train.lr": 0.123}, ra=0.9),
    ]
    assert found(records, "RA - that of `ft`")[0] == "not measured", "trials are left out"
    assert found(records, "RA - that of `ft selected`") == ("+5.00", 1, None)


def test_runs_of_other_versions_and_other_stages_are_left_out() -> None:
    old, victim = run("ft", "cl", 1, ra=0.9), run("ft", "cl", 1, ra=0.9)
    old.recipe["defense.version"], victim.recipe["stage"] = 0, "attack"
    records = [run("nba", "cl", 1, ra=0.7), run("ft", "cl", 1, ra=0.6), old, victim]
    assert found(records, "RA - that of `ft`")[0] == "+10.00"


def test_runs_that_belong_to_several_tables_are_refused() -> None:
    with pytest.raises(Refused, match=r"dataset\.clean_ratio differ among the runs"):
        goals.goals([run("nba", "cl", 1, {"dataset.clean_ratio": each}) for each in (0.05, 0.01)])


def test_nba_without_pseudo_samples_is_a_control_of_its_own() -> None:
    records = [run("nba", "cl", 1, ra=0.7), run("nba", "cl", 1, {"pseudo": "none"}, ra=0.6)]
    assert found(records, "RA - that of `nba without_pseudo`")[0] == "+10.00"


def test_defense_seeds_repeat_a_victim() -> None:
    records = [run("nba", "cl", 1, before=before) for before in (0.87, 0.89)] + [run("nba", "cl", 2, before=0.87)]
    assert found(records, "ACC of the victim")[:2] == (
        f"+1.30 ({1.3 - 12.706 * 0.5:+.2f} to {1.3 + 12.706 * 0.5:+.2f})",
        2,
    )


@pytest.mark.parametrize(("figure", "limit"), [("acc", 1), ("asr", 2)])
def test_the_deviation_over_seeds_is_pooled_over_attacks(figure: str, limit: int) -> None:
    def seeds(attack: str, deviation: float) -> list[Record]:
        return [run("nba", attack, seed, **{figure: 0.5 + (seed - 2) * deviation / 100}) for seed in goals.SEEDS]

    calm = [each for attack in goals.SIX[1:] for each in seeds(attack, 0.0)]
    wanted = f"{figure.upper()}, standard deviation"
    inside, outside = seeds("badnets", limit * 2.4), seeds("badnets", limit * 2.5)
    assert found(inside + calm, wanted) == (
        f"{limit * 2.4 / 6**0.5:.2f}, largest {limit * 2.4:.2f} (badnets)",
        18,
        True,
    )
    assert found(outside + calm, wanted)[1:] == (18, False)
    assert found(outside + calm[1:], wanted)[2] is None
    assert found(calm[:1], wanted) == ("not measured", 0, None), "one seed has no deviation"


def test_seconds_are_compared_with_anps_on_the_same_machine() -> None:
    assert found(all_of("nba", seconds=99.0) + all_of("anp"), "seconds")[2] is True
    assert found(all_of("nba", seconds=101.0) + all_of("anp"), "seconds")[2] is False
    elsewhere = dataclasses.replace(run("anp", "cl", 1), origin=ORIGIN | {"threads": 2})
    assert found([run("nba", "cl", 1), elsewhere], "seconds") == ("not measured", 0, None)


def test_a_victim_that_two_machines_cleaned_counts_once() -> None:
    again = [dataclasses.replace(run(each, "cl", 1), origin=ORIGIN | {"threads": 2}) for each in ("nba", "anp")]
    slower = [dataclasses.replace(again[0], numbers=again[0].numbers | {PLACES["seconds"]: 136.0}), again[1]]
    number, n, met = found(all_of("nba", seconds=100.0) + all_of("anp", seconds=100.0) + slower, "seconds")
    assert number.startswith("+1.00 ") and n == 18 and met is False, "18 on the mean of the two machines, 0 elsewhere"


def test_seeds_that_were_not_planned_count_nowhere() -> None:
    stray = [run("nba", "cl", 4, asr=0.9), run("ft", "cl", 4)]
    planned = all_of("nba") + all_of("ft")
    assert goals.goals(planned + stray) == goals.goals(planned)
    assert found(planned[1:] + stray, "ASR - the clean victim's")[1:] == (17, None), "one that is missing stays missing"


def test_what_a_defense_withstands_is_counted_by_victims() -> None:
    floor = BASE["floor"]
    ours = [run("nba", "cl", 1, asr=floor + 0.0299), run("nba", "cl", 2, asr=floor + 0.0301)]
    theirs = [run("ft", "sig", 3, SELECTED, asr=floor - 0.01), run("ft", "sig", 3, {"train.lr": 0.123}, asr=0.9)]
    alone = dataclasses.replace(run("fp", "cl", 1), numbers={"figures.asr": 0.0})
    assert goals.withstood(goals.Measured([*ours, *theirs, alone], goals.SIX)) == [
        "| `ft selected` | 1 of 1 | -1.00, sig, seed 3 |",
        "| `nba` | 1 of 2 | +3.01, cl, seed 2 |",
    ], "in the order of the registry; trials are left out, and what has no clean victim beside it"


def test_who_is_ahead_of_nba_is_named_attack_by_attack() -> None:
    ours = [run("nba", "cl", seed) for seed in (1, 2)] + [run("nba", "sig", 1)]
    theirs = [run("ft", "cl", 1, acc=0.87, asr=0.01, ra=0.7, der=0.93), run("ft", "cl", 2, acc=0.86, asr=0.04, ra=0.72)]
    six = goals.Measured([*ours, *theirs, run("fp", "cl", 3, acc=0.99), run("none", "cl", 1, acc=0.99)], goals.SIX)
    assert goals.ahead(six, "cl") == "| cl | `ft` | none | `ft` | none |", "fp has no seed in common with nba"
    assert goals.ahead(six, "sig") == "| sig | none | none | none | none |"


@pytest.mark.parametrize(("met", "word"), [(True, "yes"), (False, "**no**"), (None, "open")])
def test_a_line_says_whether_the_goal_is_met(met: bool | None, word: str) -> None:
    goal = judging.Goal("wanted", "+1.00", 18, "+0.50 to +1.50", "+0.60 to +1.40", "+0.90", met)
    assert goal.line() == f"| wanted | +1.00 | 18 | +0.50 to +1.50 | +0.60 to +1.40 | +0.90 | {word} |"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.goals", str(tmp_path / "none"), str(tmp_path / "goals.md")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "no such folder" in done.stderr and not (tmp_path / "goals.md").exists()


def test_the_kept_goals_are_those_of_the_kept_records() -> None:
    folder, file = FILES
    assert (ROOT / file).read_text() == goals.page(reading.read_all(ROOT / folder), *FILES), "make tables"
