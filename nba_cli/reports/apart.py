"""What tells a run from the others of its row, in few words."""

from __future__ import annotations

from collections.abc import Sequence

from nba_cli.runs.presets import deviations, in_folder
from nba_cli.runs.record import Record, to_text


def apart(record: Record, split: Sequence[str], rows: Sequence[str]) -> tuple[str, ...]:
    """The words of a line beside its `rows`: for the settings in `split`, as one writes them, each `name=value`.

    Of a part that the rows speak of, options that have the default of today's version are left out. Where those that
    have not are what a file conf/PART/FOLDER/KIND.yaml sets, the word FOLDER stands for them, whatever else there is:
    what defense=demo/ft made is never the line "ft", but "ft demo".
    """
    folders: list[str] = []
    words: list[str] = []
    names = [name for name in split if name in record.recipe]
    changed = {part: deviations(record, part) for part in dict.fromkeys(name.partition(".")[0] for name in rows)}
    for part, options in changed.items():
        if options and part in rows and (preset := in_folder(part, str(record.get(part)), options)):
            folders.append(preset)
            names = [name for name in names if name not in options]
    for name in names:
        options = changed.get(name.partition(".")[0])
        if options is None or name in options or name.endswith(".version"):
            words.append(f"{name}={to_text(record.recipe[name])}")
    return (*folders, *words)
