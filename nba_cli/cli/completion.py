"""Completion with TAB: the words that fit a command line. It imports neither PyTorch nor Hydra once they are kept."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence

from nba_cli.cli.chosen import choices_of, own_folders, registry_name
from nba_cli.cli.commands import COMMANDS, FLAGS
from nba_cli.cli.shells import SCRIPTS
from nba_cli.cli.vocabulary import Values, vocabulary
from nba_cli.errors import Refused, did_you_mean
from nba_cli.files import choices
from nba_cli.options import FILE, FOLDER

SWEEPS = ("hydra/launcher", "hydra/sweeper")


def main(arguments: list[str]) -> int:
    """`nba completion SHELL` prints the script, `nba completion query` the words for $COMP_LINE.

    Raises:
        Refused: there is no such shell.
    """
    shell = " ".join(arguments) or "bash"
    if shell == "query":
        sys.stdout.write("".join(f"{word}\n" for word in words(os.environ.get("COMP_LINE", ""))))
        return 0
    if shell not in SCRIPTS:
        raise Refused(f"nba completion {shell}: not a shell that it knows. {did_you_mean(shell, SCRIPTS)}")
    print(SCRIPTS[shell])
    return 0


def words(line: str) -> list[str]:
    """What a command line up to the cursor, such as `nba defend defense=n`, can be completed to: its last word."""
    *before, typed = split(line)
    before = list(itertools.dropwhile(lambda word: "=" in word, before))  # variables for this command alone
    if len(before) < 2:
        return starting(typed, [*COMMANDS, *(["--help", "--version"] if typed else [])])
    command, given = before[1], before[2:]
    if command not in COMMANDS:
        return []
    flags = FLAGS if COMMANDS[command].composed else {}
    if given and given[-1] in flags and flags[given[-1]]:
        return completed("", typed, flags[given[-1]])
    if typed.startswith("-"):
        return starting(typed, ["--help", *flags])
    name, equals, value = typed.partition("=")
    if equals:
        return completed(f"{name}=", value, values(command, given, name))
    return starting(typed, [*COMMANDS[command].arguments, *names(command, given, typed)])


def split(line: str) -> list[str]:
    """The words of a line, the last of which is being typed, and may have an open quote."""
    for closing in ("", "'", '"'):
        try:
            found = shlex.split(line + closing)
        except ValueError:
            continue
        begun = closing or line.rstrip() == line or line.endswith("\\ ")  # in an open quote a blank ends no word
        return found if begun else [*found, ""]
    return [""]


def starting(typed: str, candidates: Iterable[str]) -> list[str]:
    return sorted({word for word in candidates if word.startswith(typed)})


def stepwise(typed: str, candidates: Iterable[str], mark: str) -> list[str]:
    """The candidates that start so, each no further than to the next mark: defense. for defense.train.lr."""
    step = re.compile(f"{re.escape(typed)}[^{mark}]*[{mark}]?")
    return sorted({found[0] for word in candidates if (found := step.match(word))})


def names(command: str, given: Sequence[str], typed: str) -> list[str]:
    """The options that start as `typed` does, with "="; of those in parts, their next step."""
    found = [*options(command, given), *groups(command)]
    if COMMANDS[command].composed:
        found += ["+experiment", *(SWEEPS if typed else ())]
    return stepwise(typed, [f"{name}=" for name in found], ".")


def values(command: str, given: Sequence[str], name: str) -> Values:
    """What an option can be completed to: what is declared of it, or the choices of a group."""
    bare, own = name.lstrip("+~"), options(command, given)
    if own.get(bare):
        return own[bare]
    added = (*SWEEPS, "experiment") if COMMANDS[command].composed else ()
    if bare not in (*own, *groups(command), *added):
        return []
    found = choices(bare, *own_folders(given))
    if COMMANDS[command].filters and bare in groups(command):
        return [choice for choice in found if "/" not in choice]  # records name the part: ft, of demo/ft too
    return found


def groups(command: str) -> list[str]:
    """The groups that a command chooses from, or filters by."""
    known = vocabulary()
    recorded = [group for group in known.parts if group not in known.aside]
    return recorded if COMMANDS[command].filters else known.groups.get(command, [])


def options(command: str, given: Sequence[str]) -> dict[str, Values]:
    """The options of a command and of the parts that are chosen (all, where that cannot be told), with their values."""
    known = vocabulary()
    found: dict[str, Values] = {}
    if COMMANDS[command].filters:  # by any setting of a run
        for stage in known.groups:
            found |= known.options[stage]
    found |= known.options[command]
    for group in groups(command):
        chosen = choices_of(command, given, group)
        kinds = {None} if chosen is None else {registry_name(group, each, own_folders(given)) for each in chosen}
        for kind, part in known.parts[group].items():
            if kind in kinds or not kinds <= known.parts[group].keys():
                found |= {f"{group}.{name}": values for name, values in part.items()}
    return found


def completed(head: str, value: str, candidates: Iterable[str]) -> list[str]:
    """`head` and each value that starts so. Of several, with commas or in a list, the last one is completed."""
    earlier = value[: max(value.rfind(","), value.rfind("[")) + 1]
    typed, ends = value[len(earlier) :], ",]" if "[" in earlier else ("",)  # which of the two is left to the user
    fixed = [word + end for word in candidates if word not in (FILE, FOLDER) for end in ends]
    found = stepwise(typed, fixed, "/")
    if FILE in candidates or FOLDER in candidates:
        found += places(typed, files=FILE in candidates)
    return [head + earlier + word for word in found]


def places(typed: str, files: bool) -> list[str]:
    """The folders, with "/", and the files that start so. Hidden ones only if a dot is typed."""
    folder = typed[: typed.rfind("/") + 1]
    start = typed[len(folder) :]
    try:
        entries = list(os.scandir(os.path.expanduser(folder) or "."))
    except OSError:
        return []
    shown = [entry for entry in entries if entry.name.startswith(start) and (start or entry.name[0] != ".")]
    return sorted(folder + entry.name + ("/" if entry.is_dir() else "") for entry in shown if files or entry.is_dir())
