"""Every attack, victim, data set, defense and logger by name, with what installed packages add."""

from __future__ import annotations

import pickle
from importlib.metadata import entry_points

from attacks import ATTACKS, Attack
from nba_cli.data import DATASETS, Dataset
from nba_cli.defenses import DEFENSES, Defense
from nba_cli.errors import Refused
from nba_cli.loggers import LOGGERS, Logger
from nba_cli.victims import VICTIMS, Victim


def with_plugins(group: str, registry: dict[str, type], base: type) -> dict[str, type]:
    """`registry` and what installed packages add to it.

    Raises:
        Refused: an entry point cannot be imported, is not a subclass of `base`, has no module that knows its name,
            or takes a name that is taken.
    """
    found = dict(registry)
    for entry in entry_points(group=f"nba.{group}"):
        package = entry.dist.name if entry.dist else "?"
        where = f"entry point nba.{group} {entry.name!r} of package {package}"
        if entry.name in found:
            raise Refused(f"{where}: there already is a part of that name in the group {group}. Rename it.")
        try:
            cls = entry.load()
        except (ImportError, AttributeError) as error:
            raise Refused(f"{where}: cannot be loaded ({error}).") from error
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise Refused(f"{where}: must be a subclass of {base.__module__}.{base.__name__}.")
        try:
            pickle.dumps(cls)  # as the jobs of a sweep are
        except (pickle.PicklingError, AttributeError) as error:
            raise Refused(f"{where}: its class has to be importable by its own name ({error}).") from error
        found[entry.name] = cls
    return found


GROUPS: dict[str, dict[str, type]] = {
    "attack": with_plugins("attack", dict(ATTACKS), Attack),
    "victim": with_plugins("victim", dict(VICTIMS), Victim),
    "dataset": with_plugins("dataset", dict(DATASETS), Dataset),
    "defense": with_plugins("defense", dict(DEFENSES), Defense),
}
"""Group -> registry name -> class, with what installed packages add: the parts that a run is made of."""

CHOICES = GROUPS | {"logger": with_plugins("logger", dict(LOGGERS), Logger)}
"""All groups that one chooses from: those parts, and where a run is shown, which no name and no record holds."""

KINDS: dict[type, str] = {cls: name for registry in GROUPS.values() for name, cls in registry.items()}
"""Class -> registry name, for the parts of a run."""


def kind(part: object) -> str:
    """The registry name of an attack, victim, data set or defense."""
    return KINDS[type(part)]
