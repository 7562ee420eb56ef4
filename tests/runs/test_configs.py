"""Every file in conf/ composes, every class has a file, every option is explained."""

from __future__ import annotations

import copy
import dataclasses
import functools
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from nba_cli.cli.help import field_texts
from nba_cli.defenses import FT
from nba_cli.files import conf_dir
from nba_cli.runs import compose
from nba_cli.runs.registry import GROUPS, KINDS
from nba_cli.runs.settings import RUNS, DefendRun
from nba_cli.training import Plan

CHOICES = [(path.parent.name, path.stem) for group in GROUPS for path in sorted((conf_dir() / group).glob("*.yaml"))]


EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


@pytest.fixture(autouse=True)
def installed() -> None:
    compose.install()


def test_hydra_does_not_copy_the_schemas_and_a_run_does_not_change_them() -> None:
    store = ConfigStore.instance()
    assert copy.deepcopy(store) is store
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        first = hydra_compose("defend", ["defense=ft"])
        first.defense.train.lr = first.seed = 7
        second = hydra_compose("defend", ["defense=ft"])
    assert (second.defense.train.lr, second.seed) == (FT().train.lr, DefendRun.seed)


@functools.cache
def part_of(group: str, choice: str, file: Path) -> Any:
    """What a choice composes to."""
    needed = {
        "npz": [f"dataset.path={file}"],
        "folder": ["dataset.path=x"],
        "tiny_imagenet": ["dataset.path=x"],
        "torchvision": ["victim.name=resnet18"],
    }
    given = [f"{group}={choice}", *needed.get(choice, [])]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return getattr(compose.typed_run(hydra_compose("defend", given), "defend"), group)


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_to_a_live_object(group: str, choice: str, tiny_file: Path) -> None:
    part = part_of(group, choice, tiny_file)
    assert type(part) in KINDS
    label = part.label if group == "victim" else KINDS[type(part)]
    assert label.removesuffix("_resnet18" if choice == "torchvision" else "") == choice, "named after what it makes"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_opens_with_its_command(experiment: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        compose.typed_run(hydra_compose("defend", [f"+experiment={experiment}"]), "defend")
    first = (conf_dir() / "experiment" / f"{experiment}.yaml").read_text()
    assert f"+experiment={experiment}" in first.split("defaults:")[0]


def test_every_class_of_a_registry_has_a_file(tiny_file: Path) -> None:
    assert {type(part_of(group, choice, tiny_file)) for group, choice in CHOICES} == set(KINDS)


def test_yaml_files_do_not_repeat_defaults() -> None:
    """A default lives in the dataclass; a file overrides or says nothing. wrn_16_1 spells its name out."""
    for group, choice in CHOICES:
        plain = OmegaConf.load(conf_dir() / group / f"{choice}.yaml")
        assert set(plain) - {"defaults"} <= ({"depth", "width"} if group == "victim" else set()), choice


@pytest.mark.parametrize("cls", [*KINDS, *RUNS.values(), Plan])
def test_every_option_is_explained(cls: type) -> None:
    missing = {field.name for field in dataclasses.fields(cls)} - field_texts(cls).keys()
    assert not missing, f"{cls.__name__}: no line under 'Fields:' for {missing}"


def test_field_texts_join_lines_and_inherit() -> None:
    class Base:
        """Base.

        Fields:
            one: first
                line and second
            two: plain
        """

    class Derived(Base):
        """Fields:
        two: overridden
        """

    assert field_texts(Derived) == {"one": "first line and second", "two": "overridden"}
