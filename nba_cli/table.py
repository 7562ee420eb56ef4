"""`nba table`: finished runs beside each other, with what is missing and how to fill it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nba_cli import experiments, files, holes, logs, pivot, published, results, schema
from nba_cli.errors import Refused, did_you_mean
from nba_cli.experiments import Experiment
from nba_cli.published import Published
from nba_cli.render import ENDINGS, FORMS, terminal
from nba_cli.render.layout import Layout, remarks
from nba_cli.report import Report
from nba_cli.results import Result

OPTIONS = {
    "output": "folder that holds all run folders",
    "experiment": "the runs of this experiment, with what is missing of it",
    "stage": "defend or attack: which runs; without it, defend where there are any",
    "rows": "setting, or several with commas, that the lines stand for",
    "cols": "setting, or several with commas, that the sections stand for",
    "figures": "columns: short names (acc, asr, ra, der, seconds, forward, …) or paths into metrics.json",
    "against": "row that paired differences are taken to",
    "compare": "CSV file of published numbers to put beside ours",
    "format": "terminal, markdown, csv, latex or html; without it, what the ending of file says",
    "file": "file to write to instead of the terminal",
    "title": "heading",
    "command": "command to be named as the one that made the runs",
}
FIGURES = {
    "defend": ["acc", "asr", "ra", "der", "seconds"],
    "attack": ["acc", "asr", "ra", "reference.acc", "floor", "reference", "trigger.l2", "trigger.linf", "trigger.psnr",
               "trigger.ssim", "seconds.craft", "seconds.train"],
    "evaluate": ["acc", "asr", "ra"],
}  # fmt: skip
AXES = {"defend": (["defense"], ["attack"]), "attack": (["attack"], ["dataset"]), "evaluate": (["attack"], ["dataset"])}
"""Stage -> (rows, cols) where nothing else is asked for."""


@dataclass(kw_only=True)
class Request:
    """The options as typed; see OPTIONS."""

    output: str = "runs"
    experiment: str | None = None
    stage: str | None = None
    rows: str | None = None
    cols: str | None = None
    figures: str | None = None
    against: str | None = None
    compare: str | None = None
    format: str | None = None
    file: str | None = None
    title: str | None = None
    command: str | None = None


def show(arguments: Sequence[str]) -> None:
    """Read `option=value` words; what is no option filters by a setting (`dataset=cifar10 seed=0,1`).

    Raises:
        Refused: an unknown option or setting, no run that fits, or a file that cannot be written.
    """
    given, filters = results.asked("table", arguments, OPTIONS)
    request = Request(**given)
    form = request.format or ENDINGS.get(Path(request.file or "").suffix[1:], "terminal")
    if form not in (*FORMS, "terminal"):
        raise Refused(f"format={form}: there is no such format. {did_you_mean(form, (*FORMS, 'terminal'))}")
    if form == "terminal" and request.file:
        raise Refused(f"file={request.file}: its ending says no format. Add format=markdown, csv, latex or html.")
    if form == "csv" and request.compare:
        raise Refused("compare=…: published numbers have no place in CSV. Choose another format.")
    report, layout = compose(request, filters)
    layout.command = request.command or layout.command or shlex.join(["nba", "table", *arguments])
    if form == "terminal":
        logs.console().print(terminal.table(report, layout))
        for line in [*remarks(report, layout), *said_missing(layout)]:
            logs.LOG.info(line)
        return
    page = FORMS[form](report, layout)
    if request.file is None:
        print(page, end="")
        return
    Path(request.file).parent.mkdir(parents=True, exist_ok=True)
    files.write(Path(request.file), page)
    for line in [f"wrote {request.file}: {len(report.results)} runs", *report.notes, *said_missing(layout)]:
        logs.LOG.info(line)


def said_missing(layout: Layout) -> list[str]:
    return ["Missing; to fill it:", *(f"  {line}" for line in layout.missing)] if layout.missing else []


def compose(request: Request, filters: dict[str, list[str]]) -> tuple[Report, Layout]:
    """The table that is asked for."""
    root = Path(request.output)
    experiment = experiments.load(request.experiment, request.output) if request.experiment else None
    found = results.fitting("table", chosen(request, root, experiment), filters, OPTIONS)
    if not found and experiment is None:
        raise Refused(f"output={root}: no finished run that fits. nba status output={root} lists what is there.")
    experiment = experiment.only(filters) if experiment else None
    stage = experiment.stage if experiment else found[0].found["stage"]
    rows, cols = experiment.axes() if experiment else AXES[stage]
    rows, cols, figures = (
        wanted.split(",") if wanted else usual
        for wanted, usual in ((request.rows, rows), (request.cols, cols), (request.figures, FIGURES[stage]))
    )
    planned = experiment.planned if experiment else {}
    settings = {name for result in found for name in result.settings} | planned.keys()
    known("rows", rows, settings)
    known("cols", cols, settings)
    known("figures", [name for name in figures if not any(result.figure(name) is not None for result in found)],
          {*results.SHORT, "seconds", "der", *(name for names in FIGURES.values() for name in names)})  # fmt: skip
    order = {group: list(registry) for group, registry in schema.GROUPS.items()}
    report = pivot.build(found, rows, cols, figures, request.against, order, planned)
    labels = {word for section in report.sections for line in section.lines for word in (line.label, *line.key)}
    known("against", [request.against] if request.against else [], labels)
    layout = Layout(origin=origin(found))
    if experiment:
        layout.title, layout.command = f"{experiment.name}: {experiment.question}", experiment.command
    layout.title = request.title or layout.title
    layout.missing = holes.unfinished(experiment, root) if experiment else holes.find(report, stage, root)
    layout.published = public(request.compare, report)
    for result in found if "attack" in (*rows, *cols) else ():
        name, file = str(result.settings.get("attack")), result.folder / "trigger.png"
        if name not in layout.pictures and file.is_file():
            layout.pictures[name] = file.read_bytes()
    return report, layout


def known(option: str, words: Sequence[str], names: Iterable[str]) -> None:
    """
    Raises:
        Refused: one of the words is none of the names.
    """
    names = set(names)
    for word in words:
        if word not in names:
            raise Refused(f"{option}={word}: there is no such thing in these runs. {did_you_mean(word, names)}")


def public(file: str | None, report: Report) -> dict[tuple[str, str], list[Published]]:
    """What others published for the cells of the table."""
    if file is None:
        return {}
    rows = published.read(Path(file))
    found = {
        (section.label, line.label): published.beside(rows, line.results)
        for section in report.sections
        for line in section.lines
    }
    if not any(found.values()):
        logs.LOG.warning(f"compare={file}: none of its rows is for these attacks, defenses and data sets")
    return found


def chosen(request: Request, root: Path, experiment: Experiment | None) -> list[Result]:
    """The finished runs of the experiment, or of the stage that is asked for."""
    if experiment:
        return [result for job in experiment.jobs if job.finished for result in [results.one(job.finished)]]
    if not root.is_dir():
        raise Refused(f"output={root}: no such folder. Give the folder that holds the runs: nba table output=FOLDER")
    if request.stage and request.stage not in FIGURES:
        raise Refused(f"stage={request.stage}: there is no such stage. {did_you_mean(request.stage, FIGURES)}")
    for stage in [request.stage] if request.stage else FIGURES:
        if found := results.read(root, [stage]):
            return found
    return []


def origin(found: Sequence[Result]) -> str:
    """When, where and with which code: every answer among the runs."""
    if not found:
        return ""
    made = [result.found.get("made", {}) for result in found]
    victims = [result.found.get("victim_commit") for result in found]

    def say(values: list) -> str:
        return ", ".join(sorted({str(value) for value in values if value}))

    dates, machines, threads, torch, commits = (
        [one.get(name) for one in made] for name in ("date", "processor", "threads", "torch", "commit")
    )
    precisions = [each.found.get("precision") for each in found]
    return (
        f"Date: {say([date and date[:10] for date in dates])}. Machine: {say(machines)}, {say(threads)} threads, "
        f"{say(precisions)}. torch {say(torch)}. Commit: {say(commits + victims)}."
    )
