"""Presets: a file in a folder of conf/PART, and the run that it makes, known again by its record."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from records import put

from nba_cli.files import conf_dir
from nba_cli.runs import compose, reading
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
