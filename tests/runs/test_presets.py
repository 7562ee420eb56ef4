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

PRESETS = [(file.parent.name, file.stem) for file in sorted((conf_dir() / "defense").glob("*/*.yaml"))]


@pytest.mark.parametrize(("folder", "kind"), PRESETS)
def test_a_run_is_called_by_the_preset_that_made_it(folder: str, kind: str, tmp_path: Path) -> None:
    compose.install()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        made = OmegaConf.to_container(hydra_compose("defend", [f"defense={folder}/{kind}"]).defense, enum_to_str=True)
    assert isinstance(made, dict)
    options = {f"defense__{name}": value for name, value in made.items() if name in declared().parts["defense"][kind]}
    version = declared().versions["defense"][kind]
    out = put(tmp_path, "run", "blend", kind, 0, (0.5, 0.5, 0.5), defense__version=version, **options)
    assert called(reading.read_one(out), "defense") == f"{kind} {folder}"
    usual = put(tmp_path, "usual", "blend", kind, 0, (0.5, 0.5, 0.5), defense__version=version)
    assert called(reading.read_one(usual), "defense") == kind
    old = put(tmp_path, "old", "blend", kind, 0, (0.5, 0.5, 0.5), defense__version=0, **options)
    assert called(reading.read_one(old), "defense") == kind, "what the preset of a former version set is not known"
