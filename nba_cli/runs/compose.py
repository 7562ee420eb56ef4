"""Hydra's composed config -> a typed run."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nba_cli import console, domains
from nba_cli.errors import Refused, did_you_mean
from nba_cli.runs import foreign, naming
from nba_cli.runs.hydra_errors import one_line
from nba_cli.runs.record import to_text
from nba_cli.runs.registry import CHOICES, KINDS
from nba_cli.runs.settings import RUNS, DefendRun, EvaluateRun, Machine, option_names


@cache
def register() -> None:
    """Make every class known to Hydra under hydra/schema, a hidden group, so that glob(*) sees the YAML files only.

    Once a process: each job of a sweep asks for it.
    """
    store = ConfigStore.instance()
    setattr(store, "__deepcopy__", itself)  # noqa: B010 (no attribute that Hydra declares)
    for stage, cls in RUNS.items():
        store.store(group="hydra/schema", name=stage, node=cls)
    for group, registry in CHOICES.items():
        for name, cls in registry.items():
            store.store(group=f"hydra/schema/{group}", name=name, node=cls)


def itself(_: dict[int, Any]) -> ConfigStore:
    """The copy of the store of schemas that Hydra makes before each composition: the store, because it only reads it.

    To copy all schemas takes nearly as long as to compose a run.
    """
    return ConfigStore.instance()


def unknown_keys(node: Any, keys: Iterable[Any], cls: type, where: str = "") -> list[str]:
    """The given keys of a composed config that no class has: `+attack.typo=1` would otherwise pass silently."""
    found = []
    known = option_names(cls)
    for key in keys:
        child = node._get_node(key)
        path = f"{where}{key}"
        if key not in known:
            found.append(path)
        elif isinstance(child, DictConfig) and not child._is_none() and isinstance(OmegaConf.get_type(child), type):
            inner = OmegaConf.get_type(child)
            if inner is not None and is_dataclass(inner):
                found += unknown_keys(child, child, inner, f"{path}.")
    return found


def typed_run(cfg: DictConfig, stage: str) -> Machine:
    """The run that a composed config describes, its values checked.

    Raises:
        Refused: a key that no class has (Hydra lets `+key=value` pass), or a value out of range; or the config of a job
            was refused when it was composed.
    """
    if REFUSAL in cfg:
        raise Refused(cfg[REFUSAL])
    cls = RUNS[stage]
    known = [str(key) for key in cfg if key != "hydra"]
    if unknown := unknown_keys(cfg, known, cls):
        owner, _, leaf = unknown[0].rpartition(".")
        owned = (OmegaConf.get_type(OmegaConf.select(cfg, owner)) if owner else None) or cls
        raise Refused(f"+{unknown[0]}: there is no such option. {did_you_mean(leaf, option_names(owned))}")
    run = cls(**{key: value_of(cfg[key], key) for key in known})
    if isinstance(run, (DefendRun, EvaluateRun)) and run.weights is not None:
        return foreign.completed(run, given(cfg))
    return run


def given(cfg: DictConfig) -> set[str]:
    """The choices and options that the command line of a composed config gives, by their names."""
    config = cfg.hydra if "hydra" in cfg else HydraConfig.get() if HydraConfig.initialized() else None
    words = [] if config is None else config.overrides.task
    return {word.lstrip("+~").partition("=")[0] for word in words}


def value_of(node: Any, where: str) -> Any:
    """What the node of a composed config stands for; of a part, which Hydra has composed on its schema, the part.

    Raises:
        Refused: a number or a text that no option takes, or a value out of range. Parts name their options in full;
            what may stand anywhere, a plan, does not know `where` it stands.
    """
    cls = OmegaConf.get_type(node) if isinstance(node, DictConfig) and not node._is_none() else None
    if cls is None or not is_dataclass(cls):
        value = OmegaConf.to_object(node) if OmegaConf.is_config(node) else node
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, (list, dict)):
                raise Refused(f"{where}={to_text(value)}: a list of single values is wanted.")
            if isinstance(each, (int, float)):
                domains.check_number(f"{where}={to_text(value)}", each)
            elif isinstance(each, str):
                domains.check_text(where, each)
        return value
    values = {str(key): value_of(node[key], f"{where}.{key}") for key in node}
    try:
        return cls(**values)
    except Refused as error:
        raise error if cls in KINDS else Refused(in_full(where, str(error))) from error


def in_full(where: str, line: str) -> str:
    """A refusal of what may stand anywhere, "lr=0: …" or "steps=1, epochs=2: …", with the full paths of its options."""
    named, colon, why = line.partition(": ")
    return re.sub(r"(^|, )(?=\w+=)", rf"\1{where}.", named) + colon + why


REFUSAL = "why refused"  # of a job whose config could not be composed, in its place; nobody can type such a key
REFUSED = ".refused"  # where Hydra puts the folder of a run that has no name


def resolve_name(stage: str, *, _root_: DictConfig) -> str:
    """The resolver that names run folders. A job of a sweep that will be refused gets a placeholder.

    Raising here, before it has started, would take the rest of the sweep with it. A single run is refused here, before
    there is any folder.
    """
    try:
        return naming.name(stage, typed_run(_root_, stage))
    except Exception as error:
        if one_line(error) is None or OmegaConf.select(_root_, "hydra.mode") is RunMode.RUN:
            raise
        return REFUSED


def sweep_name() -> str:
    """The resolver that names the journal of a sweep: by its time, and by its parent process.

    OmegaConf caches it, so that the jobs read what the parent has chosen.
    """
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


# here and not in `install`: the process of a parallel launcher reads the folder's name before it calls the task
OmegaConf.register_new_resolver("nba.name", resolve_name, replace=True)
OmegaConf.register_new_resolver("nba.sweep", sweep_name, replace=True, use_cache=True)


def install() -> None:
    """Teach Hydra the schemas, and log to the console."""
    register()
    console.setup()
