"""From the finished runs to the table that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nba_cli.errors import Refused, did_you_mean
from nba_cli.reports import pivot, published
from nba_cli.reports.delivery import is_true
from nba_cli.reports.filters import select, why_none
from nba_cli.reports.formats.layout import Layout
from nba_cli.reports.missing import missing_jobs
from nba_cli.reports.published import Published
from nba_cli.reports.report import Report
from nba_cli.reports.request import OPTIONS, Request, label_of
from nba_cli.runs import folder, reading, record
from nba_cli.runs.declared import declared
from nba_cli.runs.record import SHORT, Record

if TYPE_CHECKING:
    from nba_cli.reports.experiments import Experiment

FIGURES = {
    "defend": ["acc", "asr", "ra", "der", "seconds"],
    "attack": ["acc", "asr", "ra", "reference.acc", "floor", "reference", "trigger.l2", "trigger.linf", "trigger.psnr",
               "trigger.ssim", "seconds.craft", "seconds.train"],
    "evaluate": ["acc", "asr", "ra"],
}  # fmt: skip
AXES = {"defend": (["defense"], ["attack"]), "attack": (["attack"], ["dataset"]), "evaluate": (["model"], ["attack"])}
"""Stage -> (rows, cols) where nothing else is asked for; in a matrix the other way round."""
MATRIX_FIGURES = ["acc", "asr", "ra"]


def compose(request: Request, filters: dict[str, list[str]], typed: str = "") -> tuple[Report, Layout]:
    """The table that is asked for. `typed` is the command line that asks for it."""
    whole = None
    if request.experiment:  # imported here: its jobs are composed with all that they need, PyTorch too
        from nba_cli.reports import experiments

        whole = experiments.load(request.experiment, request.output)
    found = candidates(request, whole)
    records = select("table", found, filters, OPTIONS)
    if not records and whole is None:
        raise Refused(why_none(request.root, found, filters))
    experiment = whole.only(filters) if whole else None
    shape = shape_of(request, records, experiment)
    down, _ = axes_of(request, records, experiment)
    report = pivot.build(records, shape)
    labels = {word for section in report.sections for line in section.lines for word in (line.label, *line.key)}
    check("against", [request.against] if request.against else [], labels, what="row")
    layout = Layout(
        origin=origin(records),
        published=published_beside(request.compare, report),
        pictures=trigger_pictures(records) if "attack" in shape.axes else {},
        title=request.title or (f"{experiment.name}: {experiment.question}" if experiment else "Results"),
        label=label_of(request, stage_of(records, experiment), filters),
        command=request.command or (experiment.command if experiment else typed),
        missing=missing_jobs(experiment, records, request.root) if experiment else [],
        arrangement=request.layout,
        sections_down=shape.cols == down,
        spread=request.spread is None or is_true(request.spread, "spread"),
    )
    return report, layout


def candidates(request: Request, experiment: Experiment | None) -> list[Record]:
    """The finished runs of the experiment, or of the stage that is asked for."""
    if experiment:
        return reading.read(job.finished for job in experiment.jobs if job.finished)
    if not request.root.is_dir():
        raise Refused(
            f"output={request.output}: no such folder. Give the folder that holds the runs: nba table output=FOLDER"
        )
    if request.stage and request.stage not in FIGURES:
        raise Refused(f"stage={request.stage}: there is no such stage. {did_you_mean(request.stage, FIGURES)}")
    for stage in [request.stage] if request.stage else FIGURES:
        if found := reading.read_all(request.root, [stage]):
            return found
    return []


def shape_of(request: Request, records: Sequence[Record], experiment: Experiment | None) -> pivot.Shape:
    """Rows, columns and figures: those asked for, else the usual ones of the experiment or the stage.

    Raises:
        Refused: a setting or figure that the runs do not have.
    """
    rows, cols = axes_of(request, records, experiment)
    usual = MATRIX_FIGURES if request.layout == "matrix" else FIGURES[stage_of(records, experiment)]
    figures = request.figures.split(",") if request.figures else usual
    expected = [job.expected for job in experiment.due(records)] if experiment else []
    settings = record.setting_names([*records, *expected])
    check("rows", rows, settings)
    check("cols", cols, settings)
    unmeasured = [name for name in figures if all(each.figure(name) is None for each in records)]
    check("figures", unmeasured, {*SHORT, "seconds", "der", *(name for names in FIGURES.values() for name in names)})
    order = {group: list(parts) for group, parts in declared().parts.items()}
    order |= experiment.planned if experiment else {}
    if request.layout == "matrix" and not any(name.partition(".")[0] == "defense" for name in rows):
        rows, cols = cols, rows  # averages are taken over the attacks, and defenses compete, wherever they stand
    return pivot.Shape(rows=rows, cols=cols, figures=figures, against=request.against, order=order, expected=expected)


def stage_of(records: Sequence[Record], experiment: Experiment | None) -> str:
    return experiment.stage if experiment else records[0].get("stage")


def axes_of(request: Request, records: Sequence[Record], experiment: Experiment | None) -> tuple[list[str], list[str]]:
    """The settings of rows=… and of cols=…: those asked for, else the usual ones."""
    rows, cols = experiment.axes() if experiment else AXES[stage_of(records, experiment)]
    if request.layout == "matrix":
        rows, cols = cols, rows
    return (request.rows.split(",") if request.rows else rows, request.cols.split(",") if request.cols else cols)


def check(option: str, words: Sequence[str], names: Iterable[str], what: str = "setting or figure") -> None:
    """Check the words of an option against the names that exist.

    Raises:
        Refused: one of them is none of the names.
    """
    names = set(names)
    for word in words:
        if word not in names:
            near = did_you_mean(word, names)
            raise Refused(f"{option}={word}: these runs have no {what} of that name. {near}")


def published_beside(file: str | None, report: Report) -> dict[tuple[str, str], list[Published]]:
    """(section, line) -> what others published for the cells of the table."""
    if file is None:
        return {}
    rows = published.read(file)
    found = {
        (section.label, line.label): published.beside(rows, line.records)
        for section in report.sections
        for line in section.lines
    }
    published.warn_if_none(file, [row for rows in found.values() for row in rows])
    return found


def trigger_pictures(records: Sequence[Record]) -> dict[str, bytes]:
    """Attack -> PNG of its trigger, from the first run that has one."""
    pictures: dict[str, bytes] = {}
    for each in records:
        name, file = str(each.get("attack")), each.folder / folder.PICTURE
        if name not in pictures and file.is_file():
            pictures[name] = file.read_bytes()
    return pictures


def origin(records: Sequence[Record]) -> str:
    """When, where and with which code: every answer among the runs."""
    if not records:
        return ""
    origins = record.distinct(each.origin for each in records)
    recipes = record.distinct(each.recipe for each in records)

    def say(where: list[dict], *names: str) -> str:
        return ", ".join(sorted({str(each[name]) for each in where for name in names if each[name]}))

    threads = say(origins, "threads")
    return (
        f"Date: {say(origins, 'day')}. Machine: {say(origins, 'processor', 'instructions')}, "
        f"{threads} {'thread' if threads == '1' else 'threads'}, "
        f"{say(recipes, 'precision')}. torch {say(origins, 'torch')}. "
        f"Commit: {say(origins, 'commit', 'victim_commit')}."
    )
