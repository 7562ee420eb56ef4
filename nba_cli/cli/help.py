"""`nba COMMAND --help`, written for people: what it does, examples, groups and options, read off the classes."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import rich
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nba_cli.cli.commands import COMMANDS
from nba_cli.cli.quoting import quoted
from nba_cli.cli.words import composable, flags
from nba_cli.files import choices, conf_dir
from nba_cli.reports.headings import heading, names
from nba_cli.runs.compose import install
from nba_cli.runs.registry import CHOICES
from nba_cli.runs.settings import RUNS

WIDE = 100  # letters a line
SWEEPS = (
    "Several values, a run for each: --multirun option=1,2,3. The settings without a run: --cfg job. Configs of your "
    "own: --config-dir FOLDER."
)
FILTERS = "Every other word filters by a setting: dataset=cifar10 seed=0,1 attack.rate=0.1"
Row = tuple[str, str, str]
"""A name, its value, and what it is."""


def main(name: str, arguments: list[str]) -> int:
    """Print the help of a command for the choices made so far: `nba defend defense=ft --help` explains ft."""
    command, console = COMMANDS[name], rich.get_console()
    if command.composed:
        install()
        asked = flags(quoted(arguments))
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose(name, composable(asked), return_hydra_config=True)
        own = [Path(asked.config_dir)] if asked.config_dir else []
        sections = {
            "Groups[/bold] (group=choice)": _groups(cfg, own),
            "Experiments[/bold] (+experiment=NAME)": _experiments(name),
            "Options[/bold] (option=value)": _stage_options(name, cfg),
        }
    else:
        options = getattr(import_module(command.module), "OPTIONS", {})
        sections = {
            "Options[/bold] (option=value)": [(option, "", text) for option, text in options.items()],
            "Experiments[/bold] (experiment=NAME)": _experiments() if "experiment" in options else [],
        }
    console.print(f"[bold]nba {name}[/bold]: {escape(command.summary)}")
    if command.about:
        console.print(f"\n{command.about}\n\n[bold]Examples[/bold]", highlight=False)
    for example in command.examples:
        console.print(f"  {example}", markup=False, highlight=False, soft_wrap=True)
    for title, rows in sections.items():
        if rows:
            console.print(f"\n[bold]{title}")
            _show(console, rows)
    if closing := SWEEPS if command.composed else FILTERS if command.filters else "":
        console.print(f"\n{closing}", highlight=False)
    return 0


def _show(console: Console, rows: Sequence[Row]) -> None:
    """In columns: name, value if there are any, and explanation. In a narrow terminal three would leave none enough."""
    valued = any(value for _, value, _ in rows)
    if valued and console.width < WIDE:
        for name, value, text in rows:
            console.print(Padding(Text(f"{name}   {value}".strip()), (0, 0, 0, 2), expand=False))
            if text:
                console.print(Padding(Text(text), (0, 0, 0, 6), expand=False))
        return
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name, value, text in rows:
        table.add_row(*map(Text, (name, value, text) if valued else (name, text)))
    console.print(table)


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


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (list, ListConfig)):
        return "[" + ",".join(_value(item) for item in value) + "]"
    return value.name if isinstance(value, Enum) else str(value).lower() if isinstance(value, bool) else f"{value}"


def _options(node: DictConfig, cls: type, prefix: str) -> Iterator[Row]:
    texts = field_texts(cls)
    for field in dataclasses.fields(cls):
        path, value = f"{prefix}{field.name}", node._get_node(field.name)
        if field.name in CHOICES:
            continue
        if isinstance(value, DictConfig) and not value._is_none():
            inner = OmegaConf.get_type(value)
            assert inner is not None
            yield from _options(value, inner, f"{path}.")
            continue
        shown = "required" if OmegaConf.is_missing(node, field.name) else _value(node[field.name])
        yield path, shown, texts.get(field.name, "")


def _groups(cfg: DictConfig, own: Sequence[Path]) -> list[Row]:
    """Every group, the choice in force, and all choices; those in a subfolder together."""
    now = cfg.hydra.runtime.choices
    rows = []
    for group in (each for each in CHOICES if each in cfg):
        found = choices(group, *own)
        rows.append((group, f"now {now.get(group) or 'null'}", " ".join(each for each in found if "/" not in each)))
        rows += [("", "", f"{folder}/{{{','.join(inside)}}}") for folder, inside in _by_folder(found).items()]
    return rows


def _experiments(stage: str | None = None) -> list[Row]:
    """Every experiment of a stage, or of all, with its question; those in a subfolder together."""
    read = {name: heading(name) for name in names()}
    mine = [name for name in read if stage in (None, read[name][0])]
    rows = [(name, "", read[name][2]) for name in mine if "/" not in name]
    return rows + [(f"{folder}/…", "", ", ".join(inside)) for folder, inside in _by_folder(mine).items()]


def _by_folder(found: Sequence[str]) -> dict[str, list[str]]:
    """Subfolder -> the names in it."""
    inside: dict[str, list[str]] = {}
    for name in found:
        folder, _, leaf = name.rpartition("/")
        if folder:
            inside.setdefault(folder, []).append(leaf)
    return inside


def _stage_options(stage: str, cfg: DictConfig) -> list[Row]:
    """The options of a run, then those of each chosen part."""
    rows = list(_options(cfg, RUNS[stage], ""))
    for group in CHOICES:
        node = cfg.get(group)
        if node is not None and (cls := OmegaConf.get_type(node)):
            rows += [("", "", ""), *_options(node, cls, f"{group}.")]
    return rows
