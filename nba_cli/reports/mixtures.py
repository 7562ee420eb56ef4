"""What else differs among runs that are shown beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from nba_cli.runs.declared import declared
from nba_cli.runs.presets import preset, words_of
from nba_cli.runs.record import Record, differing, distinct, to_text


def mixed(records: Sequence[Record], rows: Sequence[str], cols: Sequence[str]) -> dict[str, list[str]]:
    """Setting -> its values: what differs among runs of one row beside the columns, or of one column beside the rows.

    Seeds are left out.
    """
    found: dict[str, dict[str, None]] = {}
    for own, others in ((rows, cols), (cols, rows)):
        groups: dict[tuple[str, ...], list[Record]] = {}
        for record in records:
            groups.setdefault(tuple(words_of(record, name) for name in own), []).append(record)
        for group in groups.values():
            for name, values in differing(group).items():
                if not any(goes_with(name, axis) for axis in others):
                    found.setdefault(name, {}).update(dict.fromkeys(map(to_text, values)))
    return {name: list(values) for name, values in found.items()}


def by_preset(records: Sequence[Record], cols: Sequence[str]) -> list[str]:
    """Of each column that has the runs of one preset alone, in words, which one: its heading names the kind."""
    found: dict[str, set[str | None]] = {}
    for part in (name for name in cols if name in declared().parts):
        for record in records:
            kind, folder = to_text(record.get(part)), preset(record, part)
            found.setdefault(kind, set()).add(folder and f"{kind} is as {part}={folder}/{kind} sets it")
    return [word for words in found.values() if len(words) == 1 for word in words if word]


def goes_with(name: str, axis: str) -> bool:
    """Whether a setting differs where that of the axis does: options of a part, and what a victim's options call it."""
    return name == axis or name.startswith(f"{axis}.") or (name == "victim" and axis.startswith("victim."))


def heads(names: Sequence[str]) -> list[str]:
    """The settings without the options of parts that are among them: another part has other options."""
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def differing_origins(records: Sequence[Record]) -> list[str]:
    """Which of commits, versions and machines differ, in a line; what they are stands beside the table anyhow."""
    origins = distinct(record.origin for record in records)
    named = {
        "commits": {each[name] for each in origins for name in ("commit", "victim_commit")} - {None},
        "versions of torch": {each["torch"] for each in origins},
        "processors": {each["processor"] for each in origins},
        "instructions of the processors": {each["instructions"] for each in origins} - {None},
        "numbers of threads": {each["threads"] for each in origins},
    }
    several = [name for name, values in named.items() if len(values) > 1]
    return [f"{', '.join(several)} differ among these runs"] if several else []
