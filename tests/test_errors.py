"""What a refusal suggests, and the option that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from nba_cli.errors import MANY, Refused, did_you_mean, given_as


def test_the_nearest_choice_is_suggested() -> None:
    assert did_you_mean("badnts", ["blend", "badnets"]) == "Did you mean 'badnets'?"


def test_without_a_near_one_all_are_named() -> None:
    assert did_you_mean("x", ["sig", "attack.rate", "blend"]) == "Choose from: attack.rate, blend, sig."
    assert did_you_mean("x", []) == ""


def test_of_many_the_dotted_ones_are_named_by_their_heads() -> None:
    choices = ["attack", "seed", *(f"attack.option{number}" for number in range(MANY))]
    assert did_you_mean("zzz", choices) == "Choose from: attack, attack.…, seed."
    assert did_you_mean("attack.option7x", choices) == "Did you mean 'attack.option7'?"


def test_of_many_numbers_every_one_is_named() -> None:
    choices = [f"0.{number:03}" for number in range(MANY + 1)]
    assert did_you_mean("zzz", choices) == f"Choose from: {', '.join(choices)}."


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("set: no array in it.", "dataset.path=set: no array in it."),
        ("set (train): no image.", "dataset.path=set: set (train): no image."),
        ("set/a.png: no image.", "dataset.path=set: set/a.png: no image."),
        ("sets/a.png: no image.", "sets/a.png: no image."),
        ("seed=x: no number.", "seed=x: no number."),
    ],
)
def test_a_refusal_of_a_file_names_the_option_that_gave_it(said: str, shown: str) -> None:
    with pytest.raises(Refused) as refusal, given_as("dataset.path=set", Path("set")):
        raise Refused(said)
    assert str(refusal.value) == shown


def test_a_file_that_lies_elsewhere_than_the_option_says_is_named_beside_it() -> None:
    with (
        pytest.raises(Refused, match=r"^dataset\.path=set: /data/set: no array"),
        given_as("dataset.path=set", "/data/set"),
    ):
        raise Refused("/data/set: no array in it.")
