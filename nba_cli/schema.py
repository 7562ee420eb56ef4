"""Typed run descriptions. Their fields are the options of the commands; Hydra checks types before any job starts."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any

from omegaconf import MISSING

from attacks import ATTACKS, Attack
from attacks.none import NoAttack
from nba_cli import devices
from nba_cli.data import DATASETS, Dataset
from nba_cli.defenses import DEFENSES, Defense
from nba_cli.devices import Precision
from nba_cli.errors import Refused
from nba_cli.plan import Plan
from nba_cli.plugins import with_plugins
from nba_cli.victims import VICTIMS, Victim

GROUPS: dict[str, dict[str, type]] = {
    "attack": with_plugins("attack", dict(ATTACKS), Attack),
    "victim": with_plugins("victim", dict(VICTIMS), Victim),
    "dataset": with_plugins("dataset", dict(DATASETS), Dataset),
    "defense": with_plugins("defense", dict(DEFENSES), Defense),
}
"""Group -> registry name -> class, with what installed packages add."""

KINDS: dict[type, str] = {cls: name for registry in GROUPS.values() for name, cls in registry.items()}
"""Class -> registry name, for all groups."""


@dataclass(kw_only=True)
class Machine:
    """Fields:
    device: auto, cpu, cuda, cuda:N or mps
    precision: auto, fp32, bf16 or fp16; auto is bf16 where the processor has it
    output: folder that holds all run folders
    overwrite: do a finished run again
    """

    device: str = field(default="auto", metadata={"shapes": ()})
    precision: Precision = field(default=Precision.auto, metadata={"shapes": ()})
    output: str = field(default="runs", metadata={"shapes": ()})
    overwrite: bool = field(default=False, metadata={"shapes": ()})

    def resolved_precision(self) -> Precision:
        return devices.resolve_precision(self.precision, devices.resolve(self.device))


@dataclass(kw_only=True)
class AttackRun(Machine):
    """Fields:
    attack: the attack
    victim: the architecture
    dataset: the data set
    train: how long and how hard to train the victim
    seed: draws the poisoned images, the victim's weights and the order of its training
    reference: also measure a clean victim under the trigger; it is trained first when it is missing
    """

    attack: Attack = MISSING
    victim: Victim = MISSING
    dataset: Dataset = MISSING
    train: Plan = field(default_factory=lambda: Plan(epochs=20))
    seed: int = 0
    reference: bool = field(default=True, metadata={"shapes": ()})


@dataclass(kw_only=True)
class DefendRun(AttackRun):
    """Fields:
    defense: the defense
    defense_seed: all randomness of the defense
    weights: a model from elsewhere to be cleaned instead: .safetensors, or a state dict in a .pt file
    trigger: trigger.safetensors of a run, to measure `weights` under an attack whose trigger is learned
    snapshots: also measure the model after each epoch of the defense, once it has returned (nba plot)
    tune: choose settings of a defense: measure on a hold-out of the clean set (dataset.held), not on the test set
    """

    defense: Defense = MISSING
    defense_seed: int = 0
    weights: str | None = field(default=None, metadata={"shapes": ()})
    trigger: str | None = field(default=None, metadata={"shapes": ()})
    snapshots: bool = field(default=False, metadata={"shapes": ()})
    tune: bool = False

    def __post_init__(self) -> None:
        if self.tune and self.weights is not None:
            raise Refused("tune=true: settings are chosen on victims whose trigger is known, not on weights=….")


@dataclass(kw_only=True)
class EvaluateRun(Machine):
    """Fields:
    run: folder of a finished run whose model is to be measured
    weights: a .safetensors or .pt file to be measured instead; needs victim=… and dataset=…
    attack: trigger to measure with; null takes the run's own
    trigger: trigger.safetensors of a run, for an attack whose trigger was learned; null finds it
    victim: architecture; null takes the run's own
    dataset: data set; null takes the run's own
    """

    run: str | None = None
    weights: str | None = None
    trigger: str | None = None
    attack: Attack | None = None
    victim: Victim | None = None
    dataset: Dataset | None = None

    def __post_init__(self) -> None:
        if (self.run is None) == (self.weights is None):
            raise Refused("nba evaluate needs either run=FOLDER (a finished run) or weights=FILE (.safetensors).")


@dataclass(kw_only=True)
class PreviewRun(Machine):
    """Fields:
    attack: the trigger; null shows all
    victim: architecture, which learned triggers depend on
    dataset: the data set
    train: how the victim is trained, which learned triggers depend on
    seed: of the runs that made the learned triggers
    images: numbers of test images, from 0; null takes the first one of each of six classes
    overwrite: draw again (always done)
    """

    overwrite: bool = field(default=True, metadata={"shapes": ()})
    attack: Attack | None = None
    victim: Victim = MISSING
    dataset: Dataset = MISSING
    train: Plan = field(default_factory=lambda: Plan(epochs=20))
    seed: int = 0
    images: list[int] | None = None

    def of(self, attack: Attack) -> AttackRun:
        """The attack run whose trigger is shown."""
        return as_attack(self, attack=attack)


RUNS: dict[str, type[Machine]] = {
    "attack": AttackRun,
    "defend": DefendRun,
    "evaluate": EvaluateRun,
    "preview": PreviewRun,
}


def as_attack(run: AttackRun | PreviewRun, **changes: Any) -> AttackRun:
    """The attack run of the same settings, never to be done again where it is finished."""
    names = [name for name in option_names(AttackRun) if hasattr(run, name) and name != "overwrite"]
    return AttackRun(**{name: getattr(run, name) for name in names} | changes)


def as_clean(run: AttackRun) -> AttackRun:
    """The clean victim of the same settings: helper of learned triggers, reference of every figure."""
    return as_attack(run, attack=NoAttack())


@cache
def register() -> None:
    """Make every class known to Hydra under hydra/schema, a hidden group, so that glob(*) sees the YAML files only.

    Once a process: each job of a sweep asks for it.
    """
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    for stage, cls in RUNS.items():
        store.store(group="hydra/schema", name=stage, node=cls)
    for group, registry in GROUPS.items():
        for name, cls in registry.items():
            store.store(group=f"hydra/schema/{group}", name=name, node=cls)


def option_names(cls: type) -> list[str]:
    """The fields of a run or part, as a user writes them."""
    return [field.name for field in fields(cls)]


def unknown_keys(node: Any, cls: type, where: str = "") -> list[str]:
    """Keys of a composed config that no class has: `+attack.typo=1` would otherwise pass silently."""
    from omegaconf import DictConfig, OmegaConf

    found = []
    known = option_names(cls)
    for key in node:
        child = node._get_node(key)
        path = f"{where}{key}"
        if key not in known:
            found.append(path)
        elif isinstance(child, DictConfig) and not child._is_none() and isinstance(OmegaConf.get_type(child), type):
            inner = OmegaConf.get_type(child)
            if inner is not None and is_dataclass(inner):
                found += unknown_keys(child, inner, f"{path}.")
    return found
