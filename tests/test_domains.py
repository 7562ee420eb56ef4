"""What an option may be: intervals, and what holds for every number and every text."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from nba_cli import domains
from nba_cli.errors import Refused


@dataclass(kw_only=True)
class Part:
    share: float = domains.within(0.5, "(0,1]")
    count: int | None = domains.within(3, "[1,inf)")
    length: float = domains.within(1.0, "(0,1e12]")
    weights: list[float] = domains.within([1.0, 2.0], "[0,inf)")
    free: float = -5.0


def test_a_part_whose_numbers_lie_in_their_intervals_passes() -> None:
    domains.check(Part())
    domains.check(Part(share=1, count=None, length=1e12, weights=[0.0]))
    assert Part().weights is not Part().weights


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"share": 0.0}, "part.share=0: must lie in (0,1]."),
        ({"share": 1.5}, "part.share=1.5: must lie in (0,1]."),
        ({"share": float("nan")}, "part.share=nan: must lie in (0,1]."),
        ({"count": 0}, "part.count=0: must be 1 or more."),
        ({"length": 0.0}, "part.length=0: must be above 0."),
        ({"length": 2e12}, "part.length=2000000000000: must be at most 1e+12."),
        ({"weights": [1.0, -2.0]}, "part.weights=[1.0, -2.0]: must be 0 or more."),
    ],
)
def test_a_number_outside_its_interval_is_named_with_what_would_be_right(changes: dict, line: str) -> None:
    with pytest.raises(Refused) as refusal:
        domains.check(Part(**changes), "part")
    assert str(refusal.value) == line


@pytest.mark.parametrize("number", [0, -(2**63), 2**63 - 1, 1e-300, -2e38, True])
def test_a_number_that_a_tensor_holds_passes(number: float) -> None:
    domains.check_number("x", number)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 1e39, float("inf"), float("nan")])
def test_a_number_that_no_tensor_holds_is_refused(number: float) -> None:
    with pytest.raises(Refused, match=r"^x=…: "):
        domains.check_number("x=…", number)


@pytest.mark.parametrize("text", ["a", "é" * 127, "a/" * 2000 + "b", "/", "a b", "${x}"])
def test_a_text_that_may_be_a_path_passes(text: str) -> None:
    domains.check_text("x", text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "x=: nothing is given"),
        ("a" * 256, "a name has 255 bytes at most"),
        ("é" * 128, "a name has 255 bytes at most"),
        ("a/" * 2048, "a path 4,096"),
        ("a\0b", r"x=a\\x00b: there is a control character in it"),
        ("a\tb", r"x=a\\tb: there is a control character in it"),
        ("\ud800", r"x=\?: not text in UTF-8"),
    ],
)
def test_a_text_that_is_no_name_is_refused(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        domains.check_text("x", text)


def test_what_names_no_file_may_be_long_or_empty_but_no_control_sequence() -> None:
    domains.check_text("title", "", is_name=False)
    domains.check_text("command", "nba defend " * 100, is_name=False)
    with pytest.raises(Refused, match="control character"):
        domains.check_text("title", "\x1b[31m", is_name=False)
