"""What holds for every logger, its package or not."""

from __future__ import annotations

import dataclasses
import importlib.util
import tomllib
from pathlib import Path

import pytest
from conftest import Run
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from packaging.requirements import Requirement
from running import SHORT

from nba_cli.cli.help import field_texts
from nba_cli.files import conf_dir
from nba_cli.loggers import LOGGERS, Logger
from nba_cli.runs import compose
from nba_cli.runs.settings import AttackRun

PACKAGED = [name for name, cls in LOGGERS.items() if cls.package]


@pytest.mark.parametrize("name", PACKAGED)
def test_a_missing_package_is_refused_in_a_line_that_names_the_extra(
    name: str, nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda wanted, *more: None if wanted == name else usual(wanted, *more)
    )
    code, text = nba("attack", *SHORT, f"logger={name}")
    assert (
        code == 2
        and text
        == f"nba: logger={name}: the package {name} is missing. pip install -e '.[{name}]' in nba's checkout.\n"
    )
    assert not list((tmp_path / "runs/attack").iterdir())


def test_a_folder_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B leaves one of its name where one works, which Python would import."""
    (tmp_path / "leftover").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Logger, "package", "leftover")
    with pytest.raises(Exception, match="the package leftover is missing"):
        Logger().check()


@pytest.mark.parametrize("name", LOGGERS)
def test_every_logger_has_a_file_and_explains_its_options(name: str) -> None:
    compose.install()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        run = compose.typed_run(hydra_compose("attack", [f"logger={name}"]), "attack")
    assert isinstance(run, AttackRun) and run.logger == LOGGERS[name]()
    assert field_texts(LOGGERS[name]).keys() == {option.name for option in dataclasses.fields(LOGGERS[name])}


def test_every_package_has_an_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(PACKAGED) == {"tensorboard", "wandb", "mlflow"} <= project["optional-dependencies"].keys()


def test_tensorboard_is_tested_wherever_the_rest_is() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (own, *_) = [Requirement(text) for text in project["optional-dependencies"]["dev"]]
    assert own.name == project["name"] and "tensorboard" in own.extras


def test_an_unknown_option_of_a_logger_is_refused(nba: Run) -> None:
    code, text = nba("attack", *SHORT, "logger=wandb", "+logger.projct=x")
    assert code == 2 and "+logger.projct: there is no such option. Did you mean 'project'?" in text
