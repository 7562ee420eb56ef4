"""`nba COMMAND --help`, written for people: what it does, examples, groups and options, read off the classes."""

from __future__ import annotations

import dataclasses
import inspect
import re
from enum import Enum
from importlib import import_module
from typing import Any

import rich
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.markup import escape
from rich.table import Table

from nba_cli.cli.commands import COMMANDS
from nba_cli.cli.quoting import quoted
from nba_cli.files import conf_dir
from nba_cli.runs.compose import install
from nba_cli.runs.registry import CHOICES
from nba_cli.runs.settings import RUNS


def main(name: str, overrides: list[str]) -> int:
    """Print the help of a command for the choices made so far: `nba defend defense=ft --help` explains ft."""
    command, console = COMMANDS[name], rich.get_console()
    if command.composed:
        install()
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose(name, quoted(overrides), return_hydra_config=True)
        groups, options = _groups(cfg), _stage_options(name, cfg)
        closing = "Several values, a run for each: --multirun option=1,2,3. The settings without a run: --cfg job."
    else:
        groups, options = None, _reader_options(command.module)
        closing = "Every other word filters by a setting: dataset=cifar10 seed=0,1 attack.rate=0.1"
    console.print(f"[bold]nba {name}[/bold]: {escape(command.summary)}")
    if command.about:
        console.print(f"\n{command.about}\n\n[bold]Examples[/bold]")
    for example in command.examples:
        console.print(f"  {example}", markup=False, highlight=False, soft_wrap=True)
    for title, table in (("Groups[/bold] (group=choice)", groups), ("Options[/bold] (option=value)", options)):
        if table is not None:
            console.print(f"\n[bold]{title}")
            console.print(table)
    if command.about:
        console.print(f"\n{closing}", highlight=False)
    return 0


def field_texts(cls: type) -> dict[str, str]:
    """Field name -> its line under "Fields:" in the docstring of the class or of one of its bases."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, found, block = (base.__dict__.get("__doc__") or "").partition("Fields:")
        if found:
            block = inspect.cleandoc(block)
            texts |= {
                name: " ".join(text.split())
                for name, text in re.findall(r"^(\w+): (.+(?:\n(?!\w+: ).+)*)", block, re.MULTILINE)
            }
    return texts


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (list, ListConfig)):
        return "[" + ",".join(_value(item) for item in value) + "]"
    return value.name if isinstance(value, Enum) else str(value).lower() if isinstance(value, bool) else f"{value}"


def _add_options(table: Table, node: DictConfig, cls: type, prefix: str) -> None:
    texts = field_texts(cls)
    for field in dataclasses.fields(cls):
        path, value = f"{prefix}{field.name}", node._get_node(field.name)
        if field.name in CHOICES:
            continue
        if isinstance(value, DictConfig) and not value._is_none():
            inner = OmegaConf.get_type(value)
            assert inner is not None
            _add_options(table, value, inner, f"{path}.")
            continue
        shown = "required" if OmegaConf.is_missing(node, field.name) else _value(node[field.name])
        table.add_row(escape(path), escape(shown), escape(texts.get(field.name, "")))


def _groups(cfg: DictConfig) -> Table:
    """The choices of every group, and the one in force."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    for group in CHOICES:
        if group in cfg:
            now = cfg.hydra.runtime.choices.get(group) or "null"
            table.add_row(group, escape(" ".join(_choices(group))), f"[dim]now: {now}[/dim]")
    return table


def _stage_options(stage: str, cfg: DictConfig) -> Table:
    """The options of a run, then those of each chosen part."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    _add_options(table, cfg, RUNS[stage], "")
    for group in CHOICES:
        node = cfg.get(group)
        if node is not None and (cls := OmegaConf.get_type(node)):
            table.add_row("")
            _add_options(table, node, cls, f"{group}.")
    return table


def _reader_options(module: str) -> Table | None:
    """The options of a command that Hydra does not compose, which its module lists; None if it has none."""
    options = getattr(import_module(module), "OPTIONS", None)
    if options is None:
        return None
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name, text in options.items():
        table.add_row(name, escape(text))
    return table
