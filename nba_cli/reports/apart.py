"""What tells a run from the others of its row, in few words."""

from __future__ import annotations

from collections.abc import Sequence

from nba_cli.runs.presets import deviations, preset
from nba_cli.runs.record import Record, to_text


def apart(record: Record, split: Sequence[str], rows: Sequence[str]) -> tuple[str, ...]:
    """The words of a line beside its `rows`: for the settings in `split`, as one writes them, each `name=value`.

    A part that the rows speak of says only those options that are not at the default of today's version. If a file
    conf/PART/FOLDER/KIND.yaml sets just those, FOLDER stands for them, even where no run of the same kind is near,
    unless the rows say them all.
    """
    folders: list[str] = []
    words: list[str] = []
    names = [name for name in split if name in record.recipe]
    changed = {part: deviations(record, part) for part in dict.fromkeys(name.partition(".")[0] for name in rows)}
    for part in (part for part in changed if part in rows):
        if folder := preset(record, part):
            said = changed[part] or {}
            folders += [] if said.keys() <= set(rows) else [folder]
            names = [name for name in names if name not in said]
    for name in names:
        part, dot, option = name.partition(".")
        options = changed.get(part)
        if not dot or options is None or name in options or option == "version":
            words.append(f"{name}={to_text(record.recipe[name])}")
    return (*folders, *words)
