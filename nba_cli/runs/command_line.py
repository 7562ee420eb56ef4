"""The command lines that run given jobs."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterable, Sequence


def shell_line(words: Iterable[str]) -> str:
    """The words as one types them into a shell, with quotes where it needs them."""
    return " ".join(map(in_quotes, words))


def in_quotes(word: str) -> str:
    """A word in quotes if the shell needs them: double ones around single ones, else '"'"' stands for each."""
    return f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word)


def commands(stage: str, jobs: Sequence[Sequence[str]], options: Sequence[str] = ()) -> list[str]:
    """Command lines that run the jobs with these overrides, and nothing else.

    One sweep where the jobs are all combinations of their values, else a command for each. `options` are Hydra's own.
    """
    sets = [[word.partition("=")[::2] for word in job] for job in jobs]
    head = ["nba", stage]
    if any(word.startswith("hydra/sweeper") for word in options):  # it would choose other settings
        options = [word for word in options if not word.startswith(("hydra/sweeper", "hydra.sweeper"))]
    keys = {tuple(key for key, _ in pairs) for pairs in sets}
    if len(jobs) > 1 and len(keys) == 1:
        rows = [tuple(value for _, value in pairs) for pairs in sets]
        values = [list(dict.fromkeys(column)) for column in zip(*rows, strict=True)]
        if sorted(itertools.product(*values)) == sorted(rows):
            swept = [f"{key}={','.join(found)}" for key, found in zip(keys.pop(), values, strict=True)]
            return [shell_line([*head, "--multirun", *options, *swept])]
    plain = [word for word in options if not word.startswith("hydra")]  # a launcher is for many jobs
    return [shell_line([*head, *plain, *job]) for job in jobs]
