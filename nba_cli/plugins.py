"""Parts from other packages: entry points `nba.attack`, `nba.victim`, `nba.dataset`, `nba.defense` name classes."""

from __future__ import annotations

from importlib.metadata import entry_points

from nba_cli.errors import Refused


def with_plugins(group: str, registry: dict[str, type], base: type) -> dict[str, type]:
    """`registry` and what installed packages add to it.

    Raises:
        Refused: an entry point cannot be imported, is not a subclass of `base`, or takes a name that is taken.
    """
    found = dict(registry)
    for entry in entry_points(group=f"nba.{group}"):
        package = entry.dist.name if entry.dist else "?"
        where = f"entry point nba.{group} {entry.name!r} of package {package}"
        if entry.name in found:
            raise Refused(f"{where}: there already is a {group} of that name. Rename it.")
        try:
            cls = entry.load()
        except (ImportError, AttributeError) as error:
            raise Refused(f"{where}: cannot be loaded ({error}).") from error
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise Refused(f"{where}: must be a subclass of {base.__module__}.{base.__name__}.")
        found[entry.name] = cls
    return found
