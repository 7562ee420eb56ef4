"""`nba COMMAND --help`, written for people: what it does, examples, groups and options, read off the classes."""

from __future__ import annotations

import dataclasses
import inspect
import re
from enum import Enum
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.markup import escape
from rich.table import Table

from nba_cli import logs, schema
from nba_cli.cli import COMMANDS, conf_dir

TEXT = {
    "preview": (
        "Draws every trigger, or one, on test images: clean, triggered and the amplified difference, with L2, L_inf, "
        "PSNR and SSIM (means over the images shown, pixels in [0,1]). "
        "Trains nothing: learned triggers appear "
        "once `nba attack` has learned them with the same victim, data set, length and seed.",
        (
            "nba preview",
            "nba preview attack=blend attack.alpha=0.2 dataset=cifar10",
            "nba preview 'images=[3,17,42]'",
        ),
    ),
    "attack": (
        "Poisons the training set of a data set, trains a victim on it, and measures clean accuracy (ACC), attack "
        "success rate (ASR) and robust accuracy (RA). The result is a run folder with weights, metrics and a picture.",
        (
            "nba attack attack=blend",
            "nba attack attack=badnets attack.rate=0.05 dataset=cifar10 seed=1",
            "nba attack --multirun 'attack=glob(*)' 'seed=range(3)'",
        ),
    ),
    "defend": (
        "Cleans a victim of its backdoor with a few clean images, and measures before and after. The victim is the one "
        "that `nba attack` makes from the same settings; it is trained first when it is missing. A defense sees the "
        "model and the clean images, never the trigger, the target class or test data.",
        (
            "nba defend attack=blend defense=nba",
            "nba defend attack=blend defense=nba defense.pseudo=bank defense.eps=0.08",
            "nba defend --multirun attack=badnets,blend defense=none,ft,nba",
        ),
    ),
    "evaluate": (
        "Measures the model of a finished run, or weights of your own. A trigger, victim or data set that is given "
        "replaces the run's own: a clean victim under attack=blend shows the ASR floor and the RA reference of blend.",
        (
            "nba evaluate run=runs/attack/NAME",
            "nba evaluate run=runs/attack/NAME attack=blend",
            "nba evaluate weights=model.safetensors victim=wrn_16_1 dataset=cifar10 attack=badnets",
        ),
    ),
}


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


def _options(table: Table, node: DictConfig, cls: type, prefix: str) -> None:
    texts = field_texts(cls)
    for field in dataclasses.fields(cls):
        path, value = f"{prefix}{field.name}", node._get_node(field.name)
        if field.name in schema.GROUPS:
            continue
        if isinstance(value, DictConfig) and not value._is_none():
            inner = OmegaConf.get_type(value)
            assert inner is not None
            _options(table, value, inner, f"{path}.")
            continue
        shown = "required" if OmegaConf.is_missing(node, field.name) else _value(node[field.name])
        table.add_row(escape(path), escape(shown), escape(texts.get(field.name, "")))


def show(command: str, overrides: list[str]) -> None:
    """Print the help of `command` for the choices made so far: `nba defend defense=ft --help` explains ft."""
    console = logs.console()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose(command, overrides, return_hydra_config=True)
    about, examples = TEXT[command]
    console.print(f"[bold]nba {command}[/bold]: {escape(COMMANDS[command])}\n\n{about}\n\n[bold]Examples[/bold]")
    for example in examples:
        console.print(f"  {example}", markup=False, highlight=False, soft_wrap=True)
    console.print("\n[bold]Groups[/bold] (group=choice)")
    table = Table(box=None, show_header=False, padding=(0, 2))
    chosen = {group: cfg[group] for group in schema.GROUPS if group in cfg}
    for group in chosen:
        now = cfg.hydra.runtime.choices.get(group) or "null"
        table.add_row(group, escape(" ".join(_choices(group))), f"[dim]now: {now}[/dim]")
    logs.print_table(table)
    console.print("\n[bold]Options[/bold] (option=value)")
    table = Table(box=None, show_header=False, padding=(0, 2))
    _options(table, cfg, schema.RUNS[command], "")
    for group, node in chosen.items():
        if node is not None and (cls := OmegaConf.get_type(node)):
            table.add_row("")
            _options(table, node, cls, f"{group}.")
    logs.print_table(table)
    console.print("\nSeveral values, a run for each: --multirun option=1,2,3. The settings without a run: --cfg job.")


READERS = {
    "table": (
        "A section for each attack, a line for each defense, mean ± standard deviation over seeds. A figure is marked "
        "as the best where it is better than every other row: the paired difference has a 95 % interval that excludes "
        "0. Missing cells come with the command that fills them.",
        (
            "nba table dataset=cifar10",
            "nba table experiment=six_attacks file=six_attacks.html",
            "nba table attack=badnets rows=defense.beta against=1.0",
            "nba table stage=attack format=markdown",
        ),
    ),
    "plot": (
        "Draws what finished runs left behind: how victims and defenses were trained, how ACC, ASR and RA moved while "
        "a defense worked (of runs made with snapshots=true), or how they hang on a setting that a sweep varied, with "
        "a band of one standard deviation over seeds.",
        (
            "nba plot attack=blend",
            "nba plot kind=defense attack=blend defense=ft,nba",
            "nba plot x=defense.beta defense=nba file=figures/beta",
        ),
    ),
}


def show_reader(command: str) -> None:
    """Print the help of a command that reads finished runs."""
    from nba_cli import plot, table

    about, examples = READERS[command]
    console = logs.console()
    console.print(f"[bold]nba {command}[/bold]: {escape(COMMANDS[command])}\n\n{about}\n\n[bold]Examples[/bold]")
    for example in examples:
        console.print(f"  {example}", markup=False, highlight=False, soft_wrap=True)
    console.print("\n[bold]Options[/bold] (option=value)")
    options = Table(box=None, show_header=False, padding=(0, 2))
    for name, text in {"table": table.OPTIONS, "plot": plot.OPTIONS}[command].items():
        options.add_row(name, escape(text))
    logs.print_table(options)
    console.print("\nEvery other word filters by a setting: dataset=cifar10 seed=0,1 attack.rate=0.1", highlight=False)
