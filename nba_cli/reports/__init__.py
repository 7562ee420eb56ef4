"""Finished runs -> tables and plots. `frame` hands them over to pandas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame  # pyright: ignore[reportMissingImports]


def frame(output: str | Path = "runs") -> DataFrame:
    """All finished runs below a folder as a pandas DataFrame, a row each; `rows.row` documents the columns.

    Raises:
        Refused: pandas is not installed, or there is no such folder.
    """
    from nba_cli.reports import rows  # imported here: whoever imports this package need not want a frame

    return rows.frame(Path(output))
