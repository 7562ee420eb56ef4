"""`nba plot`: training curves, figures over the steps of a defense, sensitivity of a sweep. PNG and SVG."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nba_cli import logs, results
from nba_cli.errors import Refused, did_you_mean
from nba_cli.render.layout import is_share, title
from nba_cli.render.scatter import COLOURS
from nba_cli.results import Result, text
from nba_cli.snapshots import CURVE
from nba_cli.stats import summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OPTIONS = {
    "kind": "training (loss and accuracy over epochs), defense (ACC, ASR, RA over its steps) or sweep",
    "x": "of a sweep: the setting on the horizontal axis, such as defense.beta; gives kind=sweep",
    "figures": "what is drawn: acc, asr, ra, …",
    "lines": "of a sweep: the setting that tells its lines apart",
    "output": "folder that holds all run folders",
    "file": "where to write, without ending; FILE.png and FILE.svg",
}
STYLES = ("-", "--", "-.", ":")
MARKS = "osD^vPX"
STYLE: dict[str, Any] = {
    "figure.dpi": 160,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "nba",  # the same picture twice is the same file
}


def show(arguments: Sequence[str]) -> None:
    """Read `option=value` words; what is no option filters by a setting.

    Raises:
        Refused: matplotlib is not installed, an unknown option, or no run that fits.
    """
    given, filters = results.asked("plot", arguments, OPTIONS)
    kind = given.get("kind", "sweep" if "x" in given else "training")
    if kind not in KINDS:
        raise Refused(f"kind={kind}: there is no such plot. {did_you_mean(kind, KINDS)}")
    root = Path(given.get("output", "runs"))
    if not root.is_dir():
        raise Refused(f"output={root}: no such folder. Give the folder that holds the runs.")
    found = results.fitting("plot", results.read(root), filters, OPTIONS)
    if not found:
        raise Refused(f"output={root}: no finished run that fits. nba status output={root} lists what is there.")
    try:
        import matplotlib
    except ImportError as error:
        raise Refused("nba plot draws with matplotlib: pip install 'nba-cli[plot]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        KINDS[kind](found, given)
        base = Path(given.get("file", f"{kind}"))
        base.parent.mkdir(parents=True, exist_ok=True)
        for ending in ("png", "svg"):
            pyplot.savefig(
                f"{base}.{ending}", bbox_inches="tight", metadata={"Date": None} if ending == "svg" else None
            )
            logs.LOG.info(f"picture: {base}.{ending}")
        pyplot.close()


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


def with_lines(found: list[Result], name: str) -> list[tuple[Result, list[dict]]]:
    """Those runs that have lines in the file of this name, with the lines."""
    files = [(result, result.folder / name) for result in found]
    read = [(result, file.read_text(encoding="utf-8").splitlines()) for result, file in files if file.is_file()]
    return [(result, [json.loads(line) for line in lines]) for result, lines in read if lines]


def name_of(result: Result, among: Sequence[Result]) -> str:
    """What tells a run from the others: kinds first, then whatever else differs among those of its kinds."""
    shown = ["attack", *(["defense"] if "defense" in result.settings else [])]
    more = results.telling(result, among, shown)
    return " ".join([text(result.settings[name]) for name in shown] + [f"{k}={text(v)}" for k, v in more.items()])


def training(found: list[Result], given: dict[str, str]) -> None:
    """Loss and accuracy on training batches over epochs; the phases of a defense one after the other."""
    histories = with_lines(found, "history.jsonl")
    if not histories:
        raise Refused("kind=training: none of these runs has a history.jsonl with epochs in it.")
    loss, accuracy = panels(["training loss", "accuracy on training batches, %"])
    drawn = [result for result, _ in histories]
    for number, (result, history) in enumerate(histories):
        epochs = range(1, len(history) + 1)
        loss.plot(
            epochs, [line["loss"] for line in history], label=name_of(result, drawn), **style(number, len(history))
        )
        accuracy.plot(epochs, [100 * line["acc"] for line in history], **style(number, len(history)))
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch")
    legend(loss)


def defense(found: list[Result], given: dict[str, str]) -> None:
    """ACC, ASR and RA before, at each snapshot and after; needs runs made with snapshots=true."""
    curves = with_lines(found, CURVE)
    if not curves:
        raise Refused("kind=defense: none of these runs has snapshots. Run nba defend … snapshots=true overwrite=true.")
    drawn = [result for result, _ in curves]
    figures = given.get("figures", "acc,asr,ra").split(",")
    known = {name for _, points in curves for point in points for name in point}
    for figure in figures:
        if figure not in known:
            raise Refused(f"figures={figure}: the snapshots know no such figure. {did_you_mean(figure, known)}")
    for axes, figure in zip(panels([f"{title(figure)}, %" for figure in figures]), figures, strict=True):
        for number, (result, points) in enumerate(curves):
            values = [math.nan if point.get(figure) is None else 100 * point[figure] for point in points]
            axes.plot(range(len(points)), values, label=name_of(result, drawn), **style(number, len(points)))
            first = next((k for k, point in enumerate(points) if point["phase"] == "student"), 0)
            if first > 1:  # the teacher's epochs come first
                axes.axvline(first - 0.5, color="#999999", linewidth=0.8, linestyle=":")
        axes.set_xlabel("epoch of the defense")
        axes.set_ylim(-3, 103)
        if figure == figures[0]:
            legend(axes)


def sweep(found: list[Result], given: dict[str, str]) -> None:
    """Each figure over one setting: the mean over seeds, and a band of one standard deviation."""
    x = given.get("x")
    if x is None:
        raise Refused("kind=sweep: needs x=SETTING, such as x=defense.beta.")
    having = [result for result in found if result.settings.get(x) is not None]
    if not having:
        known = {name for result in found for name in result.settings}
        raise Refused(f"x={x}: none of these runs has this setting. {did_you_mean(x, known)}")
    split = given.get("lines") or ("attack" if len({result.settings["attack"] for result in having}) > 1 else "defense")
    if hidden := [name for name in results.differing(having) if name not in (x, split)]:
        logs.LOG.warning(f"these runs also differ in {', '.join(hidden)}: filter by one value, or set lines=…")
    figures = given.get("figures", "acc,asr,ra").split(",")
    for figure in figures:
        if all(result.figure(figure) is None for result in having):
            raise Refused(f"figures={figure}: none of these runs has it. {did_you_mean(figure, results.SHORT)}")
    for axes, figure in zip(
        panels([title(figure) + ", %" * is_share(figure) for figure in figures]), figures, strict=True
    ):
        for number, value in enumerate(dict.fromkeys(text(result.settings.get(split)) for result in having)):
            own = [result for result in having if text(result.settings.get(split)) == value]
            draw(axes, own, x, figure, value, number)
        axes.set_xlabel(x)
        if figure == figures[0]:
            legend(axes, split)


def draw(axes: Axes, own: list[Result], x: str, figure: str, label: str, number: int) -> None:
    """One line of a sweep."""
    groups: dict[Any, list[float]] = {}
    for result in own:
        place = result.settings[x]
        if (value := result.figure(figure)) is not None:
            place = place if isinstance(place, (int, float)) else text(place)
            groups.setdefault(place, []).append(100 * value if is_share(figure) else value)
    places = sorted(groups, key=lambda place: (isinstance(place, str), place))
    found = [summary(groups[place]) for place in places]
    low, high = ([each.mean + sign * (each.std or 0) for each in found] for sign in (-1, 1))
    if is_share(figure):
        low, high = [max(0, value) for value in low], [min(100, value) for value in high]
    axes.plot(places, [each.mean for each in found], label=label, **style(number))
    axes.fill_between(places, low, high, color=COLOURS[number % len(COLOURS)], alpha=0.18, linewidth=0)


KINDS: dict[str, Callable[[list[Result], dict[str, str]], None]] = {
    "training": training,
    "defense": defense,
    "sweep": sweep,
}
