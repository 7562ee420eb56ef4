"""Experiments: their jobs, and the table of what is missing."""

from __future__ import annotations

import functools
import json
import shlex
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from nba_cli.files import conf_dir
from nba_cli.reports import experiments, headings, missing, pivot
from nba_cli.reports.composition import compose as compose_table
from nba_cli.reports.request import Request
from nba_cli.runs import compose, naming, reading, sound
from nba_cli.runs.declared import declared
from nba_cli.runs.record import Record, differing

RESULTS = Path(__file__).parents[2] / "results" / "six_attacks"
listed = functools.cache(experiments.load)


@pytest.fixture(autouse=True)
def listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing the jobs of an experiment takes a second, and what is finished of them is looked up whenever one asks."""
    monkeypatch.setattr(experiments, "load", listed)


@pytest.fixture
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without runs, the same one for all tests."""
    return tmp_path_factory.getbasetemp() / "nowhere"


def key_without_seeds(record: Record) -> str:
    return repr(sorted((name, str(record.recipe[name])) for name in record.recipe if name not in declared().seeds))


def test_filters_cut_an_experiment_down(nowhere: Path) -> None:
    request = Request(output=str(nowhere), experiment="six_attacks")
    made, layout = compose_table(request, {"defense": ["ft", "nba"], "attack": ["sig"], "seed": ["1"]})
    labels = [each.label for section in made.sections for each in section.lines]
    assert labels == ["ft", "ft selected", "nba", "nba without_pseudo"], "presets by their names, without any run"
    assert layout.missing == [
        "nba defend --multirun attack=strong/sig defense=ft,selected/ft,without_pseudo/nba,nba seed=1 "
        f"+experiment=six_attacks output={nowhere}"
    ]


@pytest.mark.parametrize("name", ["six_attacks", "clean_ratio", "demo/poison_rate"])
def test_every_victim_has_a_clean_set_and_a_stream_of_its_own(name: str, nowhere: Path) -> None:
    jobs = experiments.load(name, str(nowhere)).jobs
    names = ("seed", "defense_seed", "dataset.clean_seed")
    seeds = {tuple(job.expected.get(name) for name in names) for job in jobs}
    assert all(len(set(found)) == 1 for found in seeds)


@pytest.mark.parametrize("name", headings.names())
def test_every_experiment_lists_its_jobs(name: str, nowhere: Path) -> None:
    found = experiments.load(name, str(nowhere))
    assert found.command.split() == ["nba", "defend", f"+experiment={name}"] and len(found.question) > 20
    assert len({job.folders for job in found.jobs}) == len(found.jobs) >= 3, "no job twice"
    rows, cols = found.axes()
    expected = [job.expected for job in found.jobs]
    empty = pivot.build([], pivot.Shape(rows=rows, cols=cols, figures=["acc"], expected=expected))
    assert sum(len(section.lines) for section in empty.sections) >= len(
        {key_without_seeds(record) for record in expected}
    )


@pytest.mark.parametrize(
    "name", ["six_attacks", "poison_rate", "architectures", "demo/knowledge_form", "demo/datasets"]
)
def test_an_experiment_names_the_folders_that_its_runs_get(name: str, nowhere: Path) -> None:
    found = experiments.load(name, str(nowhere))
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for job in (found.jobs[0], found.jobs[len(found.jobs) // 2], found.jobs[-1]):
            run = compose.typed_run(hydra_compose("defend", list(job.overrides)), "defend")
            run.output = str(nowhere)
            assert naming.folder_of("defend", run) in job.folders, "as Hydra composes it, in full"


def test_a_run_says_of_its_settings_what_was_expected_of_it() -> None:
    """Else a line with some of its runs would stand in the table twice."""
    made = {job.finished: job for job in experiments.load("six_attacks", str(RESULTS)).jobs if job.finished}
    for record in reading.read(filter(None, made)):
        expected = made[record.folder].expected
        assert not differing([record, expected]) and record.seeds == expected.seeds
    assert made


def labels(request: Request) -> list[str]:
    made, _ = compose_table(request, {"attack": ["badnets"], "defense": ["ft"]})
    return [line.label for section in made.sections for line in section.lines]


def test_runs_of_two_precisions_leave_no_line_that_nothing_will_fill(tmp_path: Path) -> None:
    (job,) = [
        job
        for job in experiments.load("six_attacks", str(RESULTS)).jobs
        if job.finished and job.overrides[:3] == ("attack=badnets", "defense=ft", "seed=1")
    ]
    assert job.finished
    request = Request(output=str(tmp_path), experiment="six_attacks")
    assert labels(request) == ["ft", "ft selected"]
    (first, second, *_) = [
        each
        for each in experiments.load("six_attacks", str(tmp_path)).jobs
        if each.overrides[:2] == ("attack=badnets", "defense=ft")
    ]
    for other, precision, folder in ((first, "bf16", first.folders[0]), (second, "fp32", second.folders[1])):
        made = json.loads((job.finished / "metrics.json").read_text())
        made["precision"] = made["settings"]["precision"] = precision
        for name in ("seed", "defense_seed"):
            made["settings"][name] = other.expected.get(name)
        made["settings"]["dataset"]["clean_seed"] = other.expected.get("dataset.clean_seed")
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(sound.with_seal(made)))
    assert labels(request) == ["ft precision=bf16", "ft precision=fp32", "ft selected"]


def test_a_damaged_record_leaves_its_line_and_is_missing(tmp_path: Path) -> None:
    request = Request(output=str(tmp_path), experiment="six_attacks")
    chosen = {"attack": ["badnets"], "defense": ["fp"], "seed": ["1"]}
    before, layout = compose_table(request, chosen)
    folder = next(job.folders[0] for job in experiments.load("six_attacks", str(tmp_path)).only(chosen).jobs)
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("{")
    after, damaged = compose_table(request, chosen)
    assert after.sections == before.sections and damaged.missing == layout.missing


def test_an_experiment_that_says_a_precision_finds_runs_of_no_other(nowhere: Path) -> None:
    for job in experiments.load("demo", str(nowhere)).jobs:
        assert len(job.folders) == 1 and job.expected.get("precision") == "fp32"
    assert all(len(job.folders) == 3 for job in experiments.load("teacher", str(nowhere)).jobs)


def test_a_setting_of_runs_not_made_can_be_the_rows_and_a_preset_is_said_of_them(nowhere: Path) -> None:
    request = Request(output=str(nowhere), experiment="six_attacks", rows="train.epochs")
    made, _ = compose_table(request, {"attack": ["sig"], "defense": ["none"]})
    assert [line.label for line in made.sections[0].lines] == ["20.0"]
    assert "sig is as attack=strong/sig sets it" in made.notes


def test_the_command_for_all_that_is_missing_can_be_pasted(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing, "LISTED", 0)
    output = f"{nowhere}/my runs"
    _, layout = compose_table(Request(output=output, experiment="six_attacks"), {})
    assert [shlex.split(line) for line in layout.missing] == [
        ["nba", "defend", "+experiment=six_attacks", f"output={output}"]
    ]
