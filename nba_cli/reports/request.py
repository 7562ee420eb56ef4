"""What `nba table` is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from nba_cli.errors import Refused, did_you_mean
from nba_cli.reports.delivery import OVERWRITE
from nba_cli.reports.formats import ENDINGS, FORMATS
from nba_cli.reports.formats.grid import ARRANGEMENTS

OPTIONS = {
    "output": "folder that holds all run folders",
    "experiment": "the runs of this experiment, with what is missing of it",
    "stage": "defend, attack or evaluate: which runs; without it, the first of them that there are",
    "layout": "list (sections of lines) or matrix (attacks x defenses: a cell holds the figures)",
    "rows": "setting, or several with commas, that the lines stand for",
    "cols": "setting, or several with commas, that the sections stand for, or the columns of a matrix",
    "figures": "columns: short names (acc, asr, ra, der, seconds, forward, …) or paths into metrics.json",
    "spread": "false: figures without their standard deviation, for a matrix of several",
    "against": "row that paired differences are taken to",
    "compare": "published: the numbers that come with nba, beside ours; or a CSV file of others",
    "format": "terminal, markdown, csv, json, latex or html; without it, what the ending of file says",
    "file": "file to write to instead of the terminal",
    "overwrite": OVERWRITE,
    "title": "heading",
    "command": "command to be named as the one that made the runs",
}

DATA = ("csv", "json")  # formats for programs
AROUND = ("stage", "format", "file", "overwrite", "title", "command")  # told otherwise, or no part of the table


@dataclass(kw_only=True)
class Request:
    """The options of `nba table` as typed; OPTIONS explains them."""

    output: str = "runs"
    experiment: str | None = None
    stage: str | None = None
    layout: str = "list"
    rows: str | None = None
    cols: str | None = None
    figures: str | None = None
    spread: str | None = None
    against: str | None = None
    compare: str | None = None
    format: str | None = None
    file: str | None = None
    overwrite: str | None = None
    title: str | None = None
    command: str | None = None

    @property
    def root(self) -> Path:
        return Path(self.output)


def format_of(request: Request) -> str:
    """The format that is asked for, by name or by the ending of the file.

    Raises:
        Refused: there is no such format, or it does not go with the other options.
    """
    form = request.format or ENDINGS.get(Path(request.file or "").suffix[1:], "terminal")
    if form not in (*FORMATS, "terminal"):
        raise Refused(f"format={form}: there is no such format. {did_you_mean(form, (*FORMATS, 'terminal'))}")
    if form == "terminal" and request.file:
        raise Refused(f"file={request.file}: its ending says no format. Add format=markdown, csv, json, latex or html.")
    if form in DATA and request.compare:
        raise Refused(f"compare=…: published numbers have no place in {form}. Choose another format.")
    if request.layout not in ARRANGEMENTS:
        raise Refused(f"layout={request.layout}: there is no such layout. {did_you_mean(request.layout, ARRANGEMENTS)}")
    if request.layout == "matrix":
        if form in DATA:
            raise Refused(f"layout=matrix: {form} is for programs, which want a row each. Leave the layout out.")
        for name in ("against", "compare"):
            if getattr(request, name):
                raise Refused(f"{name}=…: a matrix has no room for it. Leave it out, or choose layout=list.")
    return form


def label_of(request: Request, stage: str, filters: Mapping[str, Sequence[str]]) -> str:
    """What a text refers to the table by: its title, else its stage and the words that tell it from other tables."""
    asked = [(each.name, getattr(request, each.name), each.default) for each in fields(request)]
    words = [
        f"{name} {Path(value).name if name == 'output' else value}"  # where it lies is no paper's concern
        for name, value, usual in asked
        if value != usual and name not in AROUND
    ]
    words += [f"{name} {','.join(values)}" for name, values in sorted(filters.items())]
    return slug(request.title or "") or slug(" ".join(["results", stage, *words]))


def slug(text: str) -> str:
    """Letters, digits and hyphens alone, which every LaTeX takes in a label."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
