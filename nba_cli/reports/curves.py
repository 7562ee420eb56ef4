"""What `nba plot` draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nba_cli.console import LOG
from nba_cli.errors import Refused, did_you_mean
from nba_cli.reports.formats.layout import title
from nba_cli.reports.formats.scatter import COLOURS
from nba_cli.reports.report import is_share
from nba_cli.reports.significance import Summary, by_victim, summary
from nba_cli.runs import folder, record, sound
from nba_cli.runs.record import SHORT, Record, to_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


STYLES = ("-", "--", "-.", ":")
MARKS = "osD^vPX"


def panels(titles: Sequence[str]) -> list[Axes]:
    """Axes side by side."""
    from matplotlib import pyplot

    _, made = pyplot.subplots(1, len(titles), figsize=(3.6 * len(titles), 2.9), squeeze=False)
    for axes, name in zip(made[0], titles, strict=True):
        axes.set_title(name, fontsize=9, loc="left")
    return list(made[0])


def style(number: int, points: int = 1) -> dict[str, Any]:
    """Colour, dash and mark of a line: each alone tells it from its neighbours. Long lines have a mark now and then."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": STYLES[number % len(STYLES)],
        "marker": MARKS[(number + number // len(COLOURS)) % len(MARKS)],
        "markersize": 3.5,
        "markevery": max(1, points // 10),
        "linewidth": 1.4,
    }


def legend(axes: Axes, heading: str | None = None) -> None:
    """Below the panels, from the left edge of `axes`: beside or in them it would hide curves."""
    axes.legend(loc="upper left", bbox_to_anchor=(-0.15, -0.22), ncols=2, fontsize=7, title=heading, title_fontsize=7)


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
    more = record.distinguishing(run, among, shown)
    return " ".join([to_text(run.get(name)) for name in shown] + [f"{k}={to_text(v)}" for k, v in more.items()])


def training(found: list[Record], given: dict[str, str]) -> None:
    """Loss and accuracy on training batches over epochs; the phases of a defense one after the other."""
    histories = with_lines(found, folder.HISTORY)
    if not histories:
        raise Refused(f"kind=training: none of these runs has a {folder.HISTORY} with epochs in it.")
    loss, accuracy = panels(["training loss", "accuracy on training batches, %"])
    drawn = [run for run, _ in histories]
    for number, (run, history) in enumerate(histories):
        epochs = range(1, len(history) + 1)
        loss.plot(epochs, [line["loss"] for line in history], label=name_of(run, drawn), **style(number, len(history)))
        accuracy.plot(epochs, [100 * line["acc"] for line in history], **style(number, len(history)))
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch")
    legend(loss)


def defense(found: list[Record], given: dict[str, str]) -> None:
    """ACC, ASR and RA before, at each snapshot and after; needs runs made with snapshots=true."""
    curves = with_lines(found, folder.CURVE)
    if not curves:
        raise Refused("kind=defense: none of these runs has snapshots. Run nba defend … snapshots=true overwrite=true.")
    drawn = [run for run, _ in curves]
    figures = given.get("figures", "acc,asr,ra").split(",")
    known = {name for _, points in curves for point in points for name in point if sound.is_number(point[name])}
    for figure in figures:
        if figure not in known:
            raise Refused(f"figures={figure}: the snapshots know no such figure. {did_you_mean(figure, known)}")
    for axes, figure in zip(panels([f"{title(figure)}, %" for figure in figures]), figures, strict=True):
        for number, (run, points) in enumerate(curves):
            values = [100 * point[figure] if sound.is_number(point.get(figure)) else math.nan for point in points]
            axes.plot(range(len(points)), values, label=name_of(run, drawn), **style(number, len(points)))
            first = next((k for k, point in enumerate(points) if point.get("phase") == "student"), 0)
            if first > 1:  # the teacher's epochs come first
                axes.axvline(first - 0.5, color="#999999", linewidth=0.8, linestyle=":")
        axes.set_xlabel("epoch of the defense")
        axes.set_ylim(-3, 103)
        if figure == figures[0]:
            legend(axes)


def sweep(found: list[Record], given: dict[str, str]) -> None:
    """Each figure over one setting: the mean over victims, and a band of one standard deviation.

    A point of one victim is hollow and has no band: it says nothing of the spread.
    """
    x = given.get("x")
    if x is None:
        raise Refused("kind=sweep: needs x=SETTING, such as x=defense.beta.")
    having = [run for run in found if run.get(x) is not None]
    if not having:
        known = record.setting_names(found)
        raise Refused(f"x={x}: none of these runs has this setting. {did_you_mean(x, known)}")
    split = given.get("lines") or ("attack" if len({run.get("attack") for run in having}) > 1 else "defense")
    if hidden := [name for name in record.differing(having) if name not in (x, split)]:
        LOG.warning(f"these runs also differ in {', '.join(hidden)}: filter by one value, or set lines=…")
    figures = given.get("figures", "acc,asr,ra").split(",")
    for figure in figures:
        if all(run.figure(figure) is None for run in having):
            raise Refused(f"figures={figure}: none of these runs has it. {did_you_mean(figure, SHORT)}")
    for axes, figure in zip(
        panels([f"{title(figure)}, %" if is_share(figure) else title(figure) for figure in figures]),
        figures,
        strict=True,
    ):
        for number, value in enumerate(dict.fromkeys(to_text(run.get(split)) for run in having)):
            own = [run for run in having if to_text(run.get(split)) == value]
            draw(axes, own, x, figure, value, number)
        axes.set_xlabel(x)
        if figure == figures[0]:
            legend(axes, split)


def draw(axes: Axes, own: list[Record], x: str, figure: str, label: str, number: int) -> None:
    """One line of a sweep."""
    groups: dict[Any, list[tuple[Any, float]]] = {}
    for run in own:
        place = run.get(x)
        if (value := run.figure(figure)) is not None:
            place = place if isinstance(place, (int, float)) else to_text(place)
            groups.setdefault(place, []).append((run.victim_seed, 100 * value if is_share(figure) else value))
    places = sorted(groups, key=lambda place: (isinstance(place, str), place))
    found = [summary(list(by_victim(groups[place]).values())) for place in places]
    axes.plot(places, [each.mean for each in found], label=label, **style(number))
    low, high = band(found, is_share(figure))
    axes.fill_between(places, low, high, color=COLOURS[number % len(COLOURS)], alpha=0.18, linewidth=0)
    means = [each.mean if each.std is None else math.nan for each in found]
    hollow: dict[str, Any] = style(number) | {"linestyle": "", "markerfacecolor": "white"}
    axes.plot(places, means, **hollow)


def band(found: Sequence[Summary], share: bool) -> tuple[list[float], list[float]]:
    """One standard deviation around each mean; NaN, which is not drawn, where one victim has no spread."""
    spread = [math.nan if each.std is None else each.std for each in found]
    low = [each.mean - width for each, width in zip(found, spread, strict=True)]
    high = [each.mean + width for each, width in zip(found, spread, strict=True)]
    if share:  # a comparison with NaN is false: NaN stays
        low, high = [0.0 if value < 0 else value for value in low], [100.0 if value > 100 else value for value in high]
    return low, high


KINDS: dict[str, Callable[[list[Record], dict[str, str]], None]] = {
    "training": training,
    "defense": defense,
    "sweep": sweep,
}
