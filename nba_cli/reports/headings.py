"""What the files of the experiments say of themselves, read without Hydra."""

from __future__ import annotations

import re

from nba_cli.errors import Refused, did_you_mean
from nba_cli.files import choices, conf_dir


def names() -> list[str]:
    """All experiments."""
    return choices("experiment")


def heading(name: str) -> tuple[str, str, str]:
    """(stage, command, question) that the file of an experiment opens with.

    Raises:
        Refused: there is no experiment of this name, or its file opens otherwise.
    """
    if name not in names():
        raise Refused(f"experiment={name}: there is no such experiment. {did_you_mean(name, names())}")
    content = (conf_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    command = re.search(r"^# (nba (\w+) .+)$", content, re.MULTILINE)
    question = re.search(r"^# Question: (.+(?:\n#  .+)*)$", content, re.MULTILINE)
    if command is None or question is None:
        raise Refused(f"experiment={name}: its file has to open with its command and its question.")
    return command[2], command[1], re.sub(r"\s*\n#\s*", " ", question[1])
