"""The command lines that run given jobs."""

from __future__ import annotations

import shlex

import pytest

from nba_cli.runs import command_line


def jobs(*lists: str) -> list[list[str]]:
    return [words.split() for words in lists]


def test_commands_are_one_sweep_where_the_jobs_are_a_product() -> None:
    every = jobs("a=1 b=x", "a=1 b=y", "a=2 b=x", "a=2 b=y")
    assert command_line.commands("defend", every) == ["nba defend --multirun a=1,2 b=x,y"]
    assert command_line.commands("defend", every[:3]) == [f"nba defend {' '.join(job)}" for job in every[:3]]
    assert command_line.commands("attack", jobs("a=[1,2]")) == ["nba attack 'a=[1,2]'"]
    launcher = ["hydra/launcher=parallel"]
    assert command_line.commands("attack", jobs("a=1", "a=2"), launcher) == [
        "nba attack --multirun hydra/launcher=parallel a=1,2"
    ]
    tuned = ["hydra/sweeper=tune", "hydra.sweeper.n_trials=9"]
    assert command_line.commands("attack", jobs("a=1", "a=2"), tuned) == ["nba attack --multirun a=1,2"]
    assert command_line.commands("attack", jobs("a=1"), launcher) == ["nba attack a=1"], "one job needs no launcher"


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("a=1", "a=1"),
        ("a='b,c'", "\"a='b,c'\""),
        ("a=b c", "'a=b c'"),
        ("a='$b'", "'a='\"'\"'$b'\"'\"''"),
        ("a='`b`'", "'a='\"'\"'`b`'\"'\"''"),
        ("a='b!'", "'a='\"'\"'b!'\"'\"''"),
        ("a='\"'", "'a='\"'\"'\"'\"'\"''"),
        ("a='b\\c'", "'a='\"'\"'b\\c'\"'\"''"),
    ],
)
def test_a_word_is_quoted_as_one_would(word: str, line: str) -> None:
    assert command_line.shell_line([word]) == line
    assert shlex.split(line) == [word], "and a shell reads it back"
