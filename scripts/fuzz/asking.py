"""What nba answers to a command, in this process."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAST = ("victim.depth=10", "train.epochs=2", "train.batch=40", "dataset.clean_ratio=0.3", "reference=false")
"""What makes a run take a second."""


def ask(*command: str) -> tuple[int, str]:
    """The exit code of a command, and all that it prints."""
    from nba_cli import files
    from nba_cli.cli import main
    from nba_cli.data import tree
    from nba_cli.runs import declared, reading

    for kept in (files._file_digest, tree.source, declared.declared, reading.defaults):
        kept.cache_clear()  # as in a process of its own
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main.launch(command[0], list(command[1:]))
    return code, said.getvalue()


def done(*command: str, code: int = 0) -> str:
    found, text = ask(*command)
    assert found == code, text
    return text


def figures(text: str) -> Any:
    """What the run that has just ended measured, and its weights."""
    (out,) = {line.removeprefix("folder: ") for line in text.splitlines() if line.startswith("folder: ")}
    record = json.loads((Path(out) / "metrics.json").read_text())
    return record["figures"], record["digests"]["weights"]


def written(file: Path) -> Callable[[str], Any]:
    return lambda text: file.read_bytes()


def folder_of(text: str) -> Path:
    """The folder of the run that has just ended; that of its picture, of a preview."""
    lines = text.splitlines()
    found = [line.partition(": ")[2] for line in lines if line.startswith(("folder: ", "picture: "))]
    return Path(found[-1].removesuffix("/preview.png"))
