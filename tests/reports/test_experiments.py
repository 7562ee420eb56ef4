"""Experiments: their jobs, and the table of what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from nba_cli.files import conf_dir
from nba_cli.reports import experiments, headings, pivot
from nba_cli.reports.composition import compose as compose_table
from nba_cli.reports.request import Request
from nba_cli.runs import compose, naming, reading
from nba_cli.runs.declared import declared
from nba_cli.runs.record import Record, differing

RESULTS = Path(__file__).parents[2] / "results" / "six_attacks"


def key_without_seeds(record: Record) -> str:
    return repr(sorted((name, str(record.recipe[name])) for name in record.recipe if name not in declared().seeds))


def test_filters_cut_an_experiment_down(tmp_path: Path) -> None:
    request = Request(output=str(tmp_path), experiment="six_attacks")
    made, layout = compose_table(request, {"defense": ["ft", "nba"], "attack": ["sig"], "seed": ["1"]})
    labels = [each.label for section in made.sections for each in section.lines]
    assert labels == ["ft", "ft selected", "nba", "nba without_pseudo"], "presets by their names, without any run"
    assert layout.missing == [
        "nba defend --multirun attack=strong/sig defense=ft,selected/ft,without_pseudo/nba,nba seed=1 "
        f"+experiment=six_attacks output={tmp_path}"
    ]


@pytest.mark.parametrize("name", ["six_attacks", "clean_ratio", "demo/poison_rate"])
def test_every_victim_has_a_clean_set_and_a_stream_of_its_own(name: str, tmp_path: Path) -> None:
    jobs = experiments.load(name, str(tmp_path)).jobs
    names = ("seed", "defense_seed", "dataset.clean_seed")
    seeds = {tuple(job.record.get(name) for name in names) for job in jobs}
    assert all(len(set(found)) == 1 for found in seeds)


@pytest.mark.parametrize("name", headings.names())
def test_every_experiment_lists_its_jobs(name: str, tmp_path: Path) -> None:
    found = experiments.load(name, str(tmp_path))
    assert found.command.split() == ["nba", "defend", f"+experiment={name}"] and len(found.question) > 20
    assert len({job.folders for job in found.jobs}) == len(found.jobs) >= 3, "no job twice"
    rows, cols = found.axes()
    expected = [job.record for job in found.jobs]
    empty = pivot.build([], pivot.Shape(rows=rows, cols=cols, figures=["acc"], expected=expected))
    assert sum(len(section.lines) for section in empty.sections) >= len(
        {key_without_seeds(record) for record in expected}
    )


@pytest.mark.parametrize(
    "name", ["six_attacks", "poison_rate", "architectures", "demo/knowledge_form", "demo/datasets"]
)
def test_an_experiment_names_the_folders_that_its_runs_get(name: str, tmp_path: Path) -> None:
    found = experiments.load(name, str(tmp_path))
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for job in (found.jobs[0], found.jobs[len(found.jobs) // 2], found.jobs[-1]):
            run = compose.typed_run(hydra_compose("defend", list(job.overrides)), "defend")
            run.output = str(tmp_path)
            assert naming.folder_of("defend", run) in job.folders, "as Hydra composes it, in full"


def test_a_run_says_of_its_settings_what_was_expected_of_it() -> None:
    """Else a line with some of its runs would stand in the table twice."""
    made = [job for job in experiments.load("six_attacks", str(RESULTS)).jobs if job.finished]
    for job in made:
        (record,) = reading.read([job.folders[0]])
        assert not differing([record, job.record]) and record.seeds == job.record.seeds
    assert made
