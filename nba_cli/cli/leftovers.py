"""What refused runs leave of themselves in the folder of all runs."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from nba_cli.cli.journal import FOLDER
from nba_cli.pipeline.perform import STAGES
from nba_cli.runs.compose import REFUSED
from nba_cli.runs.folder import LOCKS


def tidy(root: Path) -> None:
    """Remove nba's own folders below `root` that are empty; if that leaves nothing but locks there, all of it."""
    for name in (REFUSED, *STAGES, FOLDER):
        with contextlib.suppress(OSError):  # not there, not empty, or another process has just removed it
            (root / name).rmdir()
    with contextlib.suppress(OSError):
        if {each.name for each in root.iterdir()} <= {LOCKS}:
            shutil.rmtree(root / LOCKS, ignore_errors=True)
            root.rmdir()
