"""Presets: a file in a folder of conf/PART, and the run that it makes, known again by its record."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from records import put

from nba_cli.files import conf_dir
from nba_cli.reports import curves
from nba_cli.runs import compose, reading, summary
from nba_cli.runs.declared import declared
from nba_cli.runs.presets import called

PARTS = ("attack", "defense")
PRESETS = [
    (part, file.parent.name, file.stem) for part in PARTS for file in sorted((conf_dir() / part).glob("*/*.yaml"))
]


@pytest.mark.parametrize(("part", "folder", "kind"), PRESETS)
def test_a_run_is_called_by_the_preset_that_made_it(part: str, folder: str, kind: str, tmp_path: Path) -> None:
    compose.install()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        made = OmegaConf.to_container(hydra_compose("defend", [f"{part}={folder}/{kind}"])[part], enum_to_str=True)
    assert isinstance(made, dict)
    now = declared().versions[part][kind]
    options = {f"{part}__{name}": value for name, value in made.items() if name in declared().parts[part][kind]}

    def run(name: str, version: int, options: dict) -> str:
        kinds = {"attack": "blend", "defense": "ft"} | {part: kind}
        more = options | {f"{part}__version": version}
        out = put(tmp_path, name, kinds["attack"], kinds["defense"], 0, (0.5, 0.5, 0.5), **more)
        return called(reading.read_one(out), part)

    assert run("made", now, options) == f"{kind} {folder}"
    usual = {f"{part}__{name}": value for name, value in declared().parts[part][kind].items()}
    assert run("usual", now, usual) == kind
    assert run("old", 0, options) == kind, "what the preset of a former version set is not known"


def test_plots_and_sweeps_call_a_run_by_its_preset_and_not_by_what_that_sets(tmp_path: Path) -> None:
    """conf/defense/demo/ft.yaml sets steps to 40."""
    usual, now = declared().parts["defense"]["ft"]["train"], declared().versions["defense"]["ft"]
    found = []
    for name, changed in (("usual", {}), ("demo", {"steps": 40}), ("short", {"steps": 7})):
        options = {"defense__train": usual | changed, "defense__version": now}
        found.append(reading.read_one(put(tmp_path, name, "blend", "ft", 0, (0.5, 0.5, 0.5), **options)))
    steps = usual["steps"]
    said = [f"blend ft defense.train.steps={steps}", "blend ft demo", "blend ft defense.train.steps=7"]
    assert [curves.name_of(run, found) for run in found] == said
    lines = [
        [str(cell) for cell in column.cells] for column in summary.side_by_side(run.folder for run in found).columns
    ]
    assert ["ft", "ft demo", "ft"] in lines and [f"defense.train.steps={steps}", "", "defense.train.steps=7"] in lines
