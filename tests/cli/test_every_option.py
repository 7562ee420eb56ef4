"""Whatever value an option gets, the command line takes it or refuses it in a line that names the option: a property
test over every option of every part, read off the schema."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import numpy as np
import pytest
from builders import NEEDED
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig

from nba_cli.cli import main, status
from nba_cli.cli.composer import Composer
from nba_cli.cli.words import check_choices
from nba_cli.data import Npz
from nba_cli.files import conf_dir
from nba_cli.loggers import Logger
from nba_cli.pipeline import workbench
from nba_cli.reports import plot, request
from nba_cli.runs import compose
from nba_cli.runs.hydra_errors import one_line
from nba_cli.runs.naming import folder_of
from nba_cli.runs.registry import CHOICES
from nba_cli.runs.settings import RUNS, AttackRun

UNSHRUNK = (Phase.explicit, Phase.generate)  # a failure says which option and value it is; a smaller one takes minutes
QUICK = settings(
    derandomize=True, deadline=None, database=None, phases=UNSHRUNK, suppress_health_check=[HealthCheck.too_slow]
)
TEXT = st.text(max_size=8) | st.sampled_from(
    ["", "runs", "x" * 300, "y/" * 3000, "/", "..", "a b", "é", "${seed}", "\ud800"]
)
NUMBERS = st.sampled_from(
    [
        "0",
        "-1",
        "1",
        "3",
        "0.5",
        "1e300",
        "-1e300",
        "1e-300",
        "inf",
        "nan",
        "-inf",
        "1e9",
        str(10**9),
        str(2**63),
        str(-(10**30)),
    ]
)
HOSTILE = NUMBERS | st.sampled_from(
    [
        "null",
        "true",
        "[]",
        "[1,-1]",
        "[null]",
        "[[1]]",
        "{}",
        "{a: 1}",
        "x",
        "''",
        "'a b'",
        "???",
        "[inf,1,1]",
        "{lr: -1}",
    ]
)


PATHS = {name: {"path": "FILE"} for name in ("npz", "folder", "tiny_imagenet")}  # of data sets


@dataclass(frozen=True)
class Option:
    """Fields:
    stage: the command
    path: as a user writes it
    form: its type
    choices: the parts that it needs
    """

    stage: str
    path: str
    form: Any
    choices: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return " ".join([self.stage, *self.choices, self.path])


def options_of(cls: type, stage: str, choices: tuple[str, ...], prefix: str = "") -> Iterator[Option]:
    forms = typing.get_type_hints(cls)
    for option in fields(cls):
        path, form = f"{prefix}{option.name}", forms[option.name]
        yield Option(stage, path, form, choices)
        if is_dataclass(form) and option.name not in CHOICES:
            yield from options_of(form, stage, choices, f"{path}.")  # type: ignore[arg-type]


def every_option() -> list[Option]:
    """Those of the commands, and of the commands' parts: of each part once."""
    found = [option for stage, cls in RUNS.items() for option in options_of(cls, stage, ())]
    for group, registry in CHOICES.items():
        for name, cls in registry.items():
            needed = tuple(f"{group}.{option}={value}" for option, value in (NEEDED | PATHS).get(name, {}).items())
            yamls = [file.stem for file in sorted((conf_dir() / group).glob(f"{name}*.yaml"))]
            choices = (f"{group}={name if name in yamls else yamls[0]}", *needed)
            found += options_of(cls, "defend" if group == "defense" else "attack", choices, f"{group}.")
    return found


EVERY = every_option()


def values(form: Any) -> st.SearchStrategy[str]:
    """Words for values of a type, as a user may write them."""
    if typing.get_origin(form) in (typing.Union, UnionType):
        return st.one_of(*(values(one) for one in typing.get_args(form)))
    if typing.get_origin(form) is list:
        items = st.lists(values(typing.get_args(form)[0]), max_size=4)
        return items.map(lambda found: f"[{','.join(found)}]")
    if isinstance(form, type) and issubclass(form, Enum):
        return st.sampled_from([each.value for each in form])
    return {
        NoneType: st.just("null"),
        bool: st.sampled_from(["true", "false"]),
        int: st.integers().map(str) | st.integers(-3, 40).map(str),
        float: st.floats().map(repr) | st.floats(-1, 2).map(repr),
        str: TEXT.map(quoted),
    }.get(form, HOSTILE)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def given_words(options: list[Option]) -> st.SearchStrategy[tuple[Option, str]]:
    chosen = st.sampled_from(options)
    return chosen.flatmap(lambda option: st.tuples(st.just(option), values(option.form) | HOSTILE))


Loaders = dict[str, tuple[Composer, DictConfig]]


@pytest.fixture(scope="module")
def loaders() -> Iterator[Loaders]:
    """The loader and the master config of each command, as where every logger's package is installed."""
    compose.install()
    found = {}
    for stage in RUNS:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            master = hydra_compose(stage, [], return_hydra_config=True)
            found[stage] = (Composer(GlobalHydra.instance().config_loader().get_search_path()), master)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Logger, "check", lambda self: None)
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose images every victim takes."""
    path = tmp_path_factory.mktemp("data") / "some.npz"
    images, labels = np.zeros((12, 32, 32, 3), np.uint8), np.arange(12) % 3
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return path


def outcome(loaders: Loaders, option: Option, value: str, file: Path, root: Path) -> str | None:
    """What the command line says of a value before it runs: a line, or None if it takes it."""
    loader, master = loaders[option.stage]
    given = [f"output={root}"]
    if option.stage == "evaluate":
        given += ["run=R"]
    elif option.stage != "preview":
        given += ["dataset=npz", f"dataset.path={file}", "dataset.crop=1", "victim.depth=10"]
    usual = [
        word
        for word in given
        if not any(choice.split("=")[0] == word.split(".")[0].split("=")[0] for choice in option.choices)
    ]
    words = [*usual, *(choice.replace("=FILE", f"={file}") for choice in option.choices)]
    word = f"{option.path}={value}"
    try:
        check_choices([word])
        run = compose.typed_run(loader.job(master, [*words, word]), option.stage)
        seen = not option.path.startswith("defense.")  # what a defense is given needs no data to be checked
        if seen and isinstance(run, AttackRun) and isinstance(run.dataset, Npz):
            folder_of(option.stage, run)
            workbench.open_workbench("attack", run, root)
    except Exception as error:
        line = one_line(error)
        if line is None:
            raise AssertionError(f"{option} {word}: a traceback") from error
        return line
    return None


def holds(loaders: Loaders, drawn: tuple[Option, str], file: Path, root: Path) -> None:
    option, value = drawn
    line = outcome(loaders, option, value, file, root)
    if line is not None:
        lacking = option.choices[:1] == ("attack=images",) and "attack.path=FOLDER. Add it" in line  # said first
        assert "\n" not in line and (option.path in line or lacking), line
    assert not list(root.iterdir()), "nothing is written"


@pytest.mark.parametrize("examples", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_an_option_takes_a_value_or_says_why_not(
    examples: int, loaders: Loaders, file: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")

    @settings(QUICK, max_examples=examples)
    @given(given_words(EVERY))
    def check(drawn: tuple[Option, str]) -> None:
        holds(loaders, drawn, file, root)

    check()


READERS = [("table", name) for name in request.OPTIONS] + [("plot", name) for name in plot.OPTIONS]
READERS += [("status", name) for name in status.OPTIONS]


def test_readers_of_runs_take_a_value_or_say_why_not(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr("matplotlib.pyplot.savefig", lambda *_, **__: None)
    words = [
        "",
        "x" * 300,
        "y/" * 3000,
        "a b",
        "null",
        "-1",
        "[1]",
        ",",
        "asr",
        "attack",
        "seed",
        "defense,seed",
        "\ud800",
    ]

    @settings(QUICK, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
    @given(st.sampled_from(READERS), st.sampled_from(words))
    def check(reader: tuple[str, str], value: str) -> None:
        command, option = reader
        code = main.launch(command, [f"{option}={value}", *([f"output={root}"] if option != "output" else [])])
        said = capfd.readouterr()
        assert code == 0 or (code == 2 and said.err.startswith("nba: ") and said.err.count("\n") == 1), said

    check()
