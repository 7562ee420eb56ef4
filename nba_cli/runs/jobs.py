"""The jobs of a sweep: counted at once, made one at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep

from nba_cli.errors import Refused

MOST = 10_000_000  # jobs: it would take days to find so many of them finished


class Range(Sequence[str]):
    """`key=number` for each whole number of a range; they are not held."""

    def __init__(self, key: str, numbers: range) -> None:
        self.key, self.numbers = key, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(len(self))[place]]
        return f"{self.key}={self.numbers[place]}"


class Jobs(Sequence[list[str]]):
    """The overrides of every job: all combinations of its columns, the last of which varies fastest.

    A column holds what the jobs have of one option, `key=value` each.
    """

    def __init__(self, columns: Sequence[Sequence[str]], part: range) -> None:
        self.columns, self.part = columns, part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Jobs(self.columns, self.part[place])
        left, words = self.part[place], []
        for column in reversed(self.columns):
            left, each = divmod(left, len(column))
            words.append(column[each])
        return words[::-1]

    @property
    def swept(self) -> list[str]:
        """The options in which the jobs differ."""
        several = [each for each in self.columns if len(each) > 1 and (isinstance(each, Range) or len(set(each)) > 1)]
        return [each[0].partition("=")[0] for each in several]


def expand(loader: ConfigLoader, params: dict[str, str], overrides: Sequence[str]) -> Jobs:
    """The jobs of a sweep as Hydra counts them: `params` of the sweeper, then what the command line says.

    Raises:
        Refused: there is none, or there is no end of them, or they lie in several folders.
    """
    words = [f"{key}={value}" for key, value in params.items()] + list(overrides)
    return jobs_of(OverridesParser.create(config_loader=loader).parse_overrides(words))


def jobs_of(parsed: Sequence[Override]) -> Jobs:
    """The jobs of a sweep with these overrides.

    Raises:
        Refused: there is none, or there is no end of them, or they lie in several folders.
    """
    lengths = {each.get_key_element(): length(each) for each in parsed}
    if (total := math.prod(lengths.values())) > MOST:
        longest = max(lengths, key=lambda key: lengths[key])
        raise Refused(
            f"{longest}: with its {lengths[longest]:,} values the sweep has {total:,} jobs; {MOST:,} at most."
        )
    columns = {each.get_key_element(): column(each) for each in parsed}
    return Jobs(list(columns.values()), range(total))


def length(override: Override) -> int:
    """How many values the jobs have of an option.

    Raises:
        Refused: none, or there is no end of them, or they take the jobs to several folders.
    """
    key, line, value = override.get_key_element(), override.input_line, override.value()
    if not override.is_sweep_override():
        return 1
    if override.key_or_group == "output":
        raise Refused(f"{line}: the runs of a sweep lie in one folder, where they find each other's victims.")
    if not override.is_discrete_sweep():
        raise Refused(f"{line}: an interval is for hydra/sweeper=tune; give values, such as {key}=1,2 or range(1,3).")
    if isinstance(value, RangeSweep):
        ends = [float(number or 0) for number in (value.start, value.stop, value.step)]
        if not all(map(math.isfinite, ends)) or not value.step:
            raise Refused(f"{line}: this range has no end.")
        numbers = value.range()
        count = max(0, math.ceil((Fraction(numbers.stop) - Fraction(numbers.start)) / Fraction(numbers.step)))
    else:
        count = sum(1 for _ in override.sweep_string_iterator())
    if not count:
        raise Refused(f"{line}: there is nothing in it, so the sweep has no job.")
    return count


def column(override: Override) -> Sequence[str]:
    """What the jobs have of an option, which has a `length`."""
    key, value = override.get_key_element(), override.value()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if isinstance(value, RangeSweep) and isinstance(numbers := value.range(), range) and not value.shuffle:
        return Range(key, numbers)
    return [f"{key}={each}" for each in override.sweep_string_iterator()]
