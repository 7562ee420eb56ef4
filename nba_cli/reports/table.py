"""`nba table`: finished runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import rich

from nba_cli import options
from nba_cli.console import LOG
from nba_cli.reports import delivery
from nba_cli.reports.composition import FIGURES, compose
from nba_cli.reports.filters import parse_words
from nba_cli.reports.formats import FORMATS, terminal
from nba_cli.reports.formats.grid import ARRANGEMENTS, grid, remarks
from nba_cli.reports.request import OPTIONS, Request, format_of
from nba_cli.runs.command_line import shell_line

VALUES = {
    "output": (options.FOLDER,),
    "stage": tuple(FIGURES),
    "compare": ("published", options.FILE),
    "format": (*FORMATS, "terminal"),
    "layout": tuple(ARRANGEMENTS),
    "file": (options.FILE,),
    "spread": delivery.WORDS,
    "overwrite": delivery.WORDS,
}
"""What completion offers of the options."""


def main(arguments: Sequence[str]) -> int:
    """Read `option=value` words; what is no option filters by a setting (`dataset=cifar10 seed=0,1`).

    Raises:
        Refused: an unknown option or setting, no run that fits, or a file that cannot be written.
    """
    given, filters = parse_words("table", arguments, OPTIONS)
    request = Request(**given)
    form, overwrite = format_of(request), delivery.is_true(request.overwrite)
    report, layout = compose(request, filters, shell_line(["nba", "table", *arguments]))
    missing = ["Missing; to fill it:", *(f"  {line}" for line in layout.missing)] if layout.missing else []
    if form == "terminal":
        console, found = rich.get_console(), grid(report, layout)
        console.print(terminal.table(found, layout.title, console.width))
        for text in remarks(report, layout, found):
            console.print(text, markup=False, highlight=False)
        said = missing
    elif request.file is None:
        print(FORMATS[form](report, layout), end="")
        said = []
    else:
        page = FORMATS[form](report, layout).encode()
        (word,) = delivery.deliver({Path(request.file): page}, overwrite=overwrite)
        said = [f"wrote {word}: {len(report.records)} runs", *report.notes, *missing]
    for line in said:
        LOG.info(line)
    return 0
