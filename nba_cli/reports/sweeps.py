"""Figures over one setting: what `nba plot x=…` draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nba_cli.errors import Refused, did_you_mean
from nba_cli.reports.drawing import WIDTH, Row, draw_interval, hollow, legend, panels, style, words_below
from nba_cli.reports.formats.layout import is_share, title
from nba_cli.reports.formats.marks import colour_of
from nba_cli.reports.lines import Line, axis_of, lines_of, of_victims
from nba_cli.reports.mixtures import heads, mixed
from nba_cli.runs import record
from nba_cli.runs.presets import value_of
from nba_cli.runs.record import SHORT, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STAGES = ("defend", "attack", "evaluate")  # the first of them that has runs is drawn
NAMED = 3  # settings that a refusal names


def sweep(found: list[Record], given: dict[str, str]) -> None:
    """Each figure over one setting: means over victims, with a standard deviation where there are several.

    Numbers are joined by a line with a band. Words have no order between them: points with bars.
    """
    having = with_setting(found, given.get("x"))
    x = given["x"]
    split = given.get("lines") or usual_split(having, x)
    if all(value_of(run, split) is None for run in having):
        known = record.setting_names(having)
        raise Refused(f"lines={split}: none of these runs has this setting. {did_you_mean(split, known)}")
    refuse_mixtures(having, x, split)
    figures = given.get("figures", "acc,asr,ra").split(",")
    for figure in figures:
        if all(run.figure(figure) is None for run in having):
            raise Refused(f"figures={figure}: none of these runs has it. {did_you_mean(figure, SHORT)}")
    axis = axis_of(having, x)
    lines = lines_of(having, axis, split, given.get("compare"))
    sources = list(dict.fromkeys(other.source for line in lines for other in line.beside))
    row = Row(
        [f"{title(figure)}, %" if is_share(figure) else title(figure) for figure in figures],
        [*(line.label for line in lines), *sources],
        WIDTH if axis.numeric else max(WIDTH, 0.09 * len(axis.values) * (2 + len(lines))),
    )
    ((part, every),) = panels([row])
    for axes, figure in zip(every, figures, strict=True):
        if not axis.numeric:
            words_below(axes, axis.values)
        for line in lines:
            draw(axes, line, figure, joined=axis.numeric)
            for other in line.beside:
                if figure in other.row.figures:
                    look = hollow(sources.index(other.source), colour_of(line.number))
                    axes.plot([other.place], [100 * other.row.figures[figure]], **look)
    for axes in every if row.shape[0] == 1 else every[-1:]:
        axes.set_xlabel(x)
    for number, name in enumerate(sources):
        every[0].plot([], [], label=name, **hollow(number, "#555555"))
    legend(part, every[0], row, f"{split}: {of_victims(lines, figures)}" + "; hollow: published" * bool(sources))


def draw(axes: Axes, line: Line, figure: str, *, joined: bool) -> None:
    """One line of a panel."""
    found, look = line.summaries(figure), style(line.number)
    if not joined:
        look["linestyle"] = ""
    axes.plot(list(found), [each.mean for each in found.values()], label=line.label, **look)
    draw_interval(axes, found, look["color"], joined=joined, share=is_share(figure))


def with_setting(found: list[Record], x: str | None) -> list[Record]:
    """The runs that have the setting: those of one stage.

    Raises:
        Refused: none is named, or no run has it.
    """
    if x is None:
        raise Refused("kind=sweep: needs x=SETTING, such as x=defense.beta.")
    having = [run for run in found if run.get(x) is not None]
    if not having:
        raise Refused(f"x={x}: none of these runs has this setting. {did_you_mean(x, record.setting_names(found))}")
    stage = min((run.get("stage") for run in having), key=STAGES.index)
    return [run for run in having if run.get("stage") == stage]


def usual_split(having: Sequence[Record], x: str) -> str:
    """Attack or defense: the first that differs and is not the axis itself."""
    names = [name for name in ("attack", "defense") if name != x]
    return next((name for name in names if len({value_of(run, name) for run in having}) > 1), names[-1])


def refuse_mixtures(having: Sequence[Record], x: str, split: str) -> None:
    """Along a line nothing but x may differ, and at a value of x nothing but the lines.

    Raises:
        Refused: something else does.
    """
    found = mixed(having, [x], [split])
    if names := heads(list(found)):
        said = ", ".join(f"{name} ({', '.join(found[name])})" for name in names[:NAMED])
        rest = names[NAMED:]
        more = f" and {len(rest)} more settings" if len(rest) > 1 else f" and {rest[0]}" if rest else ""
        choose = f"Choose one value, or set lines={names[0]}." if len(names) == 1 else "Choose one value of each."
        raise Refused(f"x={x}: these runs differ in {said}{more}, too. {choose}")
