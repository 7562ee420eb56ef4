"""Typed run descriptions. Their fields are the options of the commands; Hydra checks types before any job starts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING

from attacks import Attack
from nba_cli import devices, options
from nba_cli.data import Dataset
from nba_cli.defenses import Defense
from nba_cli.devices import Precision
from nba_cli.errors import Refused
from nba_cli.loggers import Logger
from nba_cli.training import Compiling, Plan
from nba_cli.victims import Victim


@dataclass(kw_only=True)
class Machine:
    """Fields:
    device: auto, cpu, cuda, cuda:N or mps
    precision: auto, fp32, bf16 or fp16; auto is bf16 if the processor has it
    output: folder that holds all run folders
    """

    device: str = options.among(options.idle("auto"), *devices.NAMES)
    precision: Precision = options.unnamed(Precision.auto)
    output: str = options.folder(options.idle("runs"))

    def resolved_precision(self) -> Precision:
        return devices.resolve_precision(self.precision, devices.resolve(self.device))


@dataclass(kw_only=True)
class AttackRun(Machine):
    """Fields:
    overwrite: do a finished run again
    dry_run: list the jobs, the victims to be trained first and the time expected; start and write nothing
    attack: the attack
    victim: the architecture
    dataset: the data set
    train: how long and how hard to train the victim
    seed: draws the poisoned images, the victim's weights and the order of its training
    reference: also measure a clean victim under the trigger; it is trained first when it is missing
    compile: auto, true or false: compile the network; auto does where a trial on this machine says that it repays
    logger: where to show the run while it is made
    """

    overwrite: bool = options.idle(False)
    dry_run: bool = options.idle(False)
    attack: Attack = MISSING
    victim: Victim = MISSING
    dataset: Dataset = MISSING
    train: Plan = field(default_factory=lambda: Plan(epochs=20))
    seed: int = options.seed()
    reference: bool = options.idle(True)
    # changes rounding alone; no Enum, for Hydra reads a bool
    compile: str = options.among(options.idle("auto"), *(each.value for each in Compiling))
    logger: Logger = options.aside(Logger)

    def __post_init__(self) -> None:
        Compiling.named(self.compile)

    @property
    def compiling(self) -> Compiling:
        return Compiling.named(self.compile)


class Budget(Enum):
    """How long a defense trains: published, as its settings say; equal, with NBA's number of backward passes."""

    published = "published"
    equal = "equal"


def refuse_reserved_for_bare_weights(weights: str | None, dataset: Dataset | None) -> None:
    """Bare weights may have been trained on what is reserved.

    Raises:
        Refused: there are bare weights and reserved images.
    """
    if weights is not None and isinstance(dataset, Dataset) and dataset.reserved:
        raise Refused(
            f"dataset.reserved={dataset.reserved}: nobody knows whether weights={weights} were trained on those images."
        )


@dataclass(kw_only=True)
class DefendRun(AttackRun):
    """Fields:
    defense: the defense
    budget: published (as long as its settings say) or equal (as many backward passes as NBA's default)
    defense_seed: all randomness of the defense
    victims: a folder of runs in which the victim lies, such as results/seed_0; null: it is in `output`, or trained
    weights: a model from elsewhere to be cleaned instead: .safetensors, or a state dict in a .pt file
    trigger: trigger.safetensors of a run, to measure `weights` under an attack whose trigger is learned
    snapshots: also measure the model after each epoch of the defense, once it has returned (nba plot)
    tune: choose settings of a defense: measure on a hold-out of the clean set (dataset.held), not on the test set
    """

    defense: Defense = MISSING
    budget: Budget = Budget.published
    defense_seed: int = options.seed()
    victims: str | None = options.folder(options.idle(None))
    weights: str | None = options.file(options.unnamed(None))
    trigger: str | None = options.file(options.unnamed(None))
    snapshots: bool = options.idle(False)
    tune: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_reserved_for_bare_weights(self.weights, self.dataset)
        if self.tune and self.weights is not None:
            raise Refused("tune=true needs a victim with a known trigger; it does not go with weights=FILE.")
        if self.victims is not None and self.weights is not None:
            raise Refused(f"victims={self.victims}, weights={self.weights}: give one of them.")
        if self.trigger is not None and self.weights is None:
            raise Refused(f"trigger={self.trigger}: it goes with weights=FILE. Without it, the victim's own is used.")


@dataclass(kw_only=True)
class EvaluateRun(Machine):
    """Fields:
    overwrite: do a finished run again
    run: folder of a finished run whose model is to be measured
    weights: a .safetensors or .pt file to be measured instead; needs victim=… and dataset=… unless it names them
    attack: trigger to measure with; null takes the run's own
    trigger: trigger.safetensors of a run, for an attack whose trigger was learned; null finds it
    victim: architecture; null takes the run's own
    dataset: data set; null takes the run's own
    logger: where to show the figures besides
    """

    overwrite: bool = options.idle(False)
    run: str | None = options.folder(field(default=None))
    weights: str | None = options.file(field(default=None))
    trigger: str | None = options.file(field(default=None))
    attack: Attack | None = None
    victim: Victim | None = None
    dataset: Dataset | None = None
    logger: Logger = options.aside(Logger)

    def __post_init__(self) -> None:
        if (self.run is None) == (self.weights is None):
            raise Refused("nba evaluate needs either run=FOLDER (a finished run) or weights=FILE (.safetensors).")
        refuse_reserved_for_bare_weights(self.weights, self.dataset)


@dataclass(kw_only=True)
class PreviewRun(Machine):
    """Fields:
    attack: the trigger; null shows all
    victim: architecture, which learned triggers depend on
    dataset: the data set
    train: how the victim is trained, which learned triggers depend on
    seed: of the runs that made the learned triggers
    images: numbers of test images, from 0; null takes the first one of each of six classes
    """

    attack: Attack | None = None
    victim: Victim = MISSING
    dataset: Dataset = MISSING
    train: Plan = field(default_factory=lambda: Plan(epochs=20))
    seed: int = options.seed()
    images: list[int] | None = None


RUNS: dict[str, type[Machine]] = {
    "attack": AttackRun,
    "defend": DefendRun,
    "evaluate": EvaluateRun,
    "preview": PreviewRun,
}


def option_names(cls: type) -> list[str]:
    """The fields of a run or part, as a user writes them."""
    return [option.name for option in dataclasses.fields(cls)]


def default_of(option: dataclasses.Field) -> Any:
    """The default of a dataclass field."""
    return option.default if option.default_factory is dataclasses.MISSING else option.default_factory()
