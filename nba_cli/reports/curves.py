"""Curves over the epochs of single runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nba_cli.console import LOG
from nba_cli.errors import Refused, did_you_mean
from nba_cli.reports.drawing import Row, legend, panels, style
from nba_cli.reports.formats.layout import title
from nba_cli.runs import folder, record, sound
from nba_cli.runs.presets import beyond, called
from nba_cli.runs.record import Record, to_text

TRAINED = {"attack": "victim", "defend": "defense"}
"""Stage -> what its epochs train. An epoch of the one is not an epoch of the other: they share no axis."""


def with_lines(found: list[Record], name: str) -> list[tuple[Record, list[dict]]]:
    """Those runs that have lines in the file of this name, with the lines; a warning tells of one that has changed."""
    needed = {folder.HISTORY: ("loss", "acc"), folder.CURVE: ("step",)}[name]
    for run in found:
        if (run.folder / name).is_file():
            try:
                folder.intact(run.folder, name)
            except Refused as error:  # the lines that are as they were are drawn
                LOG.warning(str(error))
    read = [(run, folder.read_lines(run.folder / name, *needed)) for run in found]
    return [(run, lines) for run, lines in read if lines]


def name_of(run: Record, among: Sequence[Record]) -> str:
    """What tells a run from the others: kinds first, then whatever else differs among those of its kinds."""
    shown = ["attack", *(["defense"] if "defense" in run.settings else [])]
    more = beyond(run, record.distinguishing(run, among, shown))
    return " ".join([called(run, name) for name in shown] + [f"{k}={to_text(v)}" for k, v in more.items()])


def of_epochs(axes: Any, what: str) -> None:
    """Count epochs along the horizontal axis, in whole numbers."""
    axes.set_xlabel(f"epoch of the {what}")
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def divide(axes: Any, points: Sequence[dict], start: int) -> None:
    """A dotted line where the teacher's epochs end and the student's begin; `start` is where the first point lies."""
    first = next((k for k, point in enumerate(points) if point.get("phase") == "student"), 0)
    if any(point.get("phase") == "teacher" for point in points[:first]):
        axes.axvline(start + first - 0.5, color="#999999", linewidth=0.8, linestyle=":")


def training(found: list[Record], given: dict[str, str]) -> None:
    """Loss and accuracy on training batches over epochs, victims above defenses; the phases of a defense in turn."""
    histories = with_lines(found, folder.HISTORY)
    if not histories:
        raise Refused(f"kind=training: none of these runs has a {folder.HISTORY} with epochs in it.")
    trained: dict[str, list[tuple[Record, list[dict]]]] = {}
    for run, history in sorted(histories, key=lambda each: list(TRAINED).index(each[0].get("stage"))):
        trained.setdefault(TRAINED[run.get("stage")], []).append((run, history))
    titles = ["training loss", "accuracy on training batches, %"]
    names = {what: [name_of(run, [each for each, _ in own]) for run, _ in own] for what, own in trained.items()}
    rows = [Row([f"{what}: {title}" for title in titles], names[what]) for what in trained]
    for row, (part, (loss, accuracy)), (what, own) in zip(rows, panels(rows), trained.items(), strict=True):
        for number, (name, (_, history)) in enumerate(zip(names[what], own, strict=True)):
            epochs, look = range(1, len(history) + 1), style(number, len(history))
            loss.plot(epochs, [line["loss"] for line in history], label=name, **look)
            accuracy.plot(epochs, [100 * line["acc"] for line in history], **look)
            for axes in (loss, accuracy):
                divide(axes, history, 1)
        for axes in (loss, accuracy):
            of_epochs(axes, what)
        legend(part, loss, row)


def defense(found: list[Record], given: dict[str, str]) -> None:
    """ACC, ASR and RA before, at each snapshot and after; needs runs made with snapshots=true."""
    curves = with_lines(found, folder.CURVE)
    if not curves:
        raise Refused("kind=defense: none of these runs has snapshots. Run nba defend … snapshots=true overwrite=true.")
    names = [name_of(run, [each for each, _ in curves]) for run, _ in curves]
    measured = {name for _, points in curves for point in points for name in point if sound.is_number(point[name])}
    known = [name for name in sound.FIGURES if name in measured]  # of a model without a trigger ACC alone
    figures = given["figures"].split(",") if "figures" in given else known
    for figure in figures:
        if figure not in known:
            raise Refused(f"figures={figure}: the snapshots know no such figure. {did_you_mean(figure, known)}")
    row = Row([f"{title(figure)}, %" for figure in figures], names)
    ((part, every),) = panels([row])
    for axes, figure in zip(every, figures, strict=True):
        for number, (name, (_, points)) in enumerate(zip(names, curves, strict=True)):
            values = [100 * point[figure] if sound.is_number(point.get(figure)) else math.nan for point in points]
            axes.plot(range(len(points)), values, label=name, **style(number, len(points)))
            divide(axes, points, 0)
        of_epochs(axes, "defense (0: before; last point: after)")
        axes.set_ylim(-3, 103)
    legend(part, every[0], row)
