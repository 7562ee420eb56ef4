"""Which settings of a defense are the best on the development victims."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from nba_cli.defenses import DEFENSES
from nba_cli.errors import Refused
from nba_cli.runs import reading
from nba_cli.runs.declared import declared
from nba_cli.runs.presets import presets
from nba_cli.runs.record import Record
from scripts import selection

ROOT = Path(__file__).parents[1]
FILES = (Path("results/selection"), Path("results/selection/best.md"))
SELECTED = presets("defense", "ft")["selected"]


@pytest.fixture(scope="module")
def kept() -> list[Record]:
    """The trials in results/."""
    return reading.read_all(ROOT / FILES[0])


def run(attack: str, options: Mapping[str, object] | None = None, **figures: float) -> Record:
    """A finished trial of ft; options by dotted path, which may be those of any run."""
    recipe: dict[str, object] = {"stage": "defend", "precision": "bf16", "attack": attack, "defense": "ft"}
    recipe |= {"defense.version": declared().versions["defense"]["ft"]} | dict(options or {})
    numbers = {f"figures.{name}": value for name, value in ({"acc": 0.8, "asr": 0.1, "ra": 0.6} | figures).items()}
    return Record(ROOT, recipe, {"seed": recipe.pop("seed", 100)}, {}, numbers)


def test_the_score_is_the_mean_of_acc_and_ra_over_both_victims() -> None:
    records = [run("blend", acc=0.7, ra=0.5), run("sig", acc=0.8, ra=0.6), run("blend", SELECTED), run("sig", SELECTED)]
    default, selected = selection.trials(records)
    assert (default.acc, default.ra, default.score) == pytest.approx((75, 55, 65))
    assert (selected.folder, selected.changed) == ("selected", SELECTED)
    assert selection.best([default, selected], "ft") == selected and selection.ended(default) == "the default"
    assert selection.ended(selected) == "80.00 / 10.00 / 60.00, 70.00: `selected/ft`"


@pytest.mark.parametrize(
    "options",
    [{"seed": 1}, {"precision": "fp32"}, {"stage": "evaluate"}, {"defense.version": 0}],
    ids=lambda options: next(iter(options)),
)
def test_what_is_no_trial_of_today_is_left_out(options: dict[str, object]) -> None:
    assert len(selection.trials([run("blend"), run("sig")])) == 1
    assert selection.trials([run("blend", options), run("sig", options)]) == []
    assert selection.trials([run("blend"), run("badnets")]) == [], "a trial is one on both victims"
    unmeasured = dataclasses.replace(run("sig"), numbers={"figures.acc": 0.8})
    assert selection.trials([run("blend"), unmeasured]) == []


def test_repeated_runs_on_a_victim_are_averaged_and_others_refused() -> None:
    (trial,) = selection.trials([run("blend", acc=0.7), run("blend", acc=0.9), run("sig", acc=0.6)])
    assert trial.acc == pytest.approx(70)
    with pytest.raises(Refused, match=r"dataset\.clean_ratio differ among the trials"):
        selection.trials([run("blend", {"dataset.clean_ratio": each}) for each in (0.05, 0.01)])


def test_the_best_of_six_settings_is_the_one_that_is_called_selected_or_the_default(kept: list[Record]) -> None:
    tried = selection.trials(kept)
    for defense in DEFENSES:
        if sum(trial.defense == defense for trial in tried) >= 6:
            best = selection.best(tried, defense)
            assert best.folder == "selected" if "selected" in presets("defense", defense) else not best.changed
        else:
            assert "selected" not in presets("defense", defense), defense


def test_the_kept_table_is_that_of_the_kept_trials(kept: list[Record]) -> None:
    assert (ROOT / FILES[1]).read_text() == selection.page(kept, *FILES), "make tables"
