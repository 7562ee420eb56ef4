"""A report as one page that loads nothing: a table to sort, the triggers, and charts of ACC against ASR and RA."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources

from nba_cli.reports.formats.grid import APART, Grid, flat, grid, parts_of, remarks
from nba_cli.reports.formats.layout import MISSING, Layout, title
from nba_cli.reports.formats.marks import mark
from nba_cli.reports.formats.scatter import WIDE, WIDTH, Point, linear, rooted, scatter
from nba_cli.reports.published import Published
from nba_cli.reports.report import Line, Report, Section
from nba_cli.reports.rows import in_units

GENERATOR = '<meta name="generator" content="nba table">'
TRIGGERS = (
    "Clean, triggered, and the change around mid-grey, amplified by the factor in the picture; "
    "where few pixels change they are framed."
)
BESIDE = "A mark that would cover another stands beside its place, to which a line leads."
MOST = 4  # panels side by side

Beside = Mapping[tuple[str, str], Sequence[Published]]
"""Label of a section and of a line -> what others published for it."""


def html(report: Report, layout: Layout) -> str:
    """The page."""
    style, script = (
        resources.files("nba_cli.reports.formats").joinpath(name).read_text("utf-8") for name in ("page.css", "page.js")
    )
    found = grid(report, layout)
    parts = [f"<header><h1>{escape(layout.title)}</h1>"]
    parts += [f"<p class=note>{escape(text)}</p>" for text in remarks(report, layout, found)]
    parts += [f"<pre>{escape(layout.command)}</pre>"] if layout.command else []
    parts += ["</header>", "<main>", *pictures(layout), *charts(report, layout.published), *table(found)]
    if layout.missing:
        parts += ["<h2>Missing</h2><p>These commands fill the missing cells.</p>"]
        parts += [f"<pre>{escape(chr(10).join(layout.missing))}</pre>"]
    body = "\n".join([*parts, "</main>"])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(layout.title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{GENERATOR}\n'
        f"<style>\n{style}</style></head>\n"
        f"<body>\n{body}\n<script>\n{script}</script></body></html>\n"
    )


def pictures(layout: Layout) -> list[str]:
    """The triggers, where there are pictures of them."""
    if not layout.pictures:
        return []
    figures = []
    for label, picture in layout.pictures.items():
        data = base64.b64encode(picture).decode()
        name = escape(label)
        figures.append(f'<figure><img alt="trigger of {name}" src="data:image/png;base64,{data}"><figcaption>{name}')
        figures.append("</figcaption></figure>")
    return [
        f"<h2>Triggers</h2><p class=note>{TRIGGERS}</p><div class=pictures>",
        *figures,
        "</div>",
    ]


def charts(report: Report, beside: Beside) -> list[str]:
    """ACC against ASR and against RA, a panel a section; the panels of a row share their axes.

    A single panel of each stands beside that of the other.
    """
    labels = dict.fromkeys(line.label for section in report.sections for line in section.lines)
    numbers = {label: number for number, label in enumerate(labels)}
    found, side_by_side = [], 0
    for figure, better, axis in (("asr", "lower", rooted), ("ra", "higher", linear)):
        panels = {section.label: points(section, figure, numbers, beside) for section in report.sections}
        panels = {label: some for label, some in panels.items() if some}
        if not panels:
            continue
        every = [point for some in panels.values() for point in some]
        level, upright = linear("ACC", [p.x for p in every]), axis(title(figure), [p.y for p in every])
        side_by_side = max(side_by_side, len(panels))
        width = WIDE if len(panels) <= 2 else WIDTH
        drawn = [scatter(label, some, level, upright, width) for label, some in panels.items()]
        grows = f" The {title(figure)} axis grows by the square root." if upright.root else ""
        found += [
            "<section>",
            f"<h2>{title('acc')} and {title(figure)}</h2>",
            f"<p class=note>In percent; {better} and right is better.{grows} {BESIDE}</p>",
            f'<div class=panels style="--columns: {columns(len(drawn))}">',
            *drawn,
            "</div>",
            "</section>",
        ]
    if not found:
        return []
    if side_by_side == 1:
        found = ["<div class=pair>", *found, "</div>"]
    return ["<div>", *found, *legend(numbers, beside), "</div>"]  # which the legend, always in view, does not leave


def columns(panels: int) -> int:
    """How many panels stand side by side, so that the last row is as full as the others or nearly."""
    return math.ceil(panels / math.ceil(panels / MOST))


def legend(numbers: dict[str, int], beside: Beside) -> list[str]:
    """What the marks stand for, as buttons that bring them out; where the published figures are from."""
    keys = [
        f'<button data-kind="{number}"><svg viewBox="0 0 16 16">{mark(number, 8, 8)}</svg>{escape(label)}</button>'
        for label, number in numbers.items()
    ]
    sources = dict.fromkeys(row.label for rows in beside.values() for row in rows)
    hollow = f"<p class=note>Hollow marks are published figures: {escape('; '.join(sources))}.</p>" if sources else ""
    return [hollow, "<div class=legend>", *keys, "</div>"]


def points(section: Section, figure: str, numbers: dict[str, int], beside: Beside) -> list[Point]:
    """A point for every line that has both figures, then one for what others published beside it.

    `numbers` tell the labels apart.
    """
    ours = [
        Point(x, y, numbers[line.label], said(line.label, x, figure, y))
        for line in section.lines
        if (x := mean(line, "acc")) is not None and (y := mean(line, figure)) is not None
    ]
    theirs = [
        Point(x, y, numbers[line.label], said(f"{row.defense}, {row.label}", x, figure, y), hollow=True)
        for line in section.lines
        for row in beside.get((section.label, line.label), [])
        if (x := percent(row, "acc")) is not None and (y := percent(row, figure)) is not None
    ]
    return ours + theirs


def said(label: str, x: float, figure: str, y: float) -> str:
    return f"{label}: {title('acc')} {x:.2f}, {title(figure)} {y:.2f}"


def mean(line: Line, figure: str) -> float | None:
    return in_units(figure, line.cells[figure].summary.mean) if figure in line.cells else None


def percent(row: Published, figure: str) -> float | None:
    return in_units(figure, row.figures.get(figure))


def table(found: Grid) -> list[str]:
    """All rows below each other, so that they can be sorted by any column."""
    titles, rows = flat(found)
    labels = 1 if found.sections is None else 2
    lines = []
    for row in rows:
        kind = f" class={row.kind}" if row.kind else ""
        heads, cells = row.words[:labels], row.words[labels:]
        lines.append(
            f"<tr{kind}>{''.join(f'<td>{escape(word)}</td>' for word in heads)}{''.join(map(styled, cells))}</tr>"
        )
    head = "".join(f"<th><button>{escape(text)}</button></th>" for text in titles)
    search = '<input type=search placeholder="filter: two words, both must occur" aria-label="filter">'
    start = f"<div class=table><table class=labels{labels}><thead><tr>{head}</tr></thead><tbody>"
    return ["<h2>All figures</h2>", search, start, *lines, "</tbody></table></div>"]


def styled(word: str) -> str:
    """A cell; what is the best of it stands out."""
    figures = [f"<b>{escape(figure)}</b>" if best else escape(figure) for figure, best in parts_of(word)]
    return f"<td{' class=missing' if word == MISSING else ''}>{APART.join(figures)}</td>"
