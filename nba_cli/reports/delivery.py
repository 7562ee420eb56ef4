"""Files that the user names: those that nba wrote may be replaced, all others only if that is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from nba_cli import files
from nba_cli.errors import Refused
from nba_cli.reports.formats.data import CSV_MARK, JSON_MARK, NO_RUNS
from nba_cli.reports.formats.html import GENERATOR
from nba_cli.reports.formats.latex import MARK as LATEX_MARK
from nba_cli.reports.formats.markdown import MARK as MARKDOWN_MARK

OVERWRITE = "true: file may replace one that nba did not write"
WORDS = ("true", "false")
PICTURE = "made by nba plot"
LATEX_ENDS = (b"\\end{table*}\n", b"\\endgroup\n")
OWN: tuple[Callable[[bytes], bool], ...] = (
    lambda found: found.startswith(b"# ") and b"\n# " not in found and found.endswith(f"{MARKDOWN_MARK}\n".encode()),
    lambda found: begins_with_comments(found, f"{LATEX_MARK}\n".encode()) and found.endswith(LATEX_ENDS),
    lambda found: found.startswith(b"<!doctype") and GENERATOR.encode() in found and found.endswith(b"</html>\n"),
    lambda found: found.startswith(f"[{JSON_MARK}".encode()) and found.endswith(b"}]\n"),
    lambda found: found.startswith(CSV_MARK.encode()),
    lambda found: found.startswith((b"\x89PNG", b"<?xml")) and PICTURE.encode() in found,
)
"""How nba's own Markdown, LaTeX, pages, CSV, JSON and pictures are known: by a mark in its place and nothing around
it, because a document of the user's may quote a table."""


def begins_with_comments(content: bytes, mark: bytes) -> bool:
    """Whether the mark, a comment of LaTeX, is in the content with nothing but comments before it."""
    before, found, _ = content.partition(mark)
    return bool(found) and all(line.startswith(b"%") for line in before.splitlines())


def is_true(option: str | None, name: str = "overwrite") -> bool:
    """What overwrite=… says, or another option of this name.

    Raises:
        Refused: neither true nor false.
    """
    if option not in (None, *WORDS):
        raise Refused(f"{name}={option}: true or false.")
    return option == "true"


def deliver(contents: Mapping[Path, bytes], *, overwrite: bool) -> list[str]:
    """Write these files, or none of them; returns a word for each: its path, and whether it took the place of another.

    Raises:
        Refused: one cannot be written, or is there already and not nba's.
    """
    words = []
    try:
        for path in contents:
            words.append(f"{path} (replaced)" if path.exists() else str(path))
            if files.regular(path).is_file() and not overwrite and not is_own(path.read_bytes()):
                raise Refused(f"file={path}: it is there already, and nba did not write it. Add overwrite=true.")
        for path in contents:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not Path(os.path.realpath(path)).parent.is_dir():
                raise Refused(f"file={path}: cannot be written: it is a link into a folder that is not there.")
        for path, content in contents.items():
            files.write(path, content)
        return words
    except OSError as error:
        raise Refused(
            f"file={error.filename or next(iter(contents))}: cannot be written ({error.strerror})."
        ) from error


def is_own(content: bytes) -> bool:
    """Whether nba wrote it, or nothing is lost with it."""
    return content in (b"", NO_RUNS.encode()) or any(made(content) for made in OWN)


def unused(base: Path, contents: Mapping[str, bytes]) -> Path:
    """`base`, or else base-2, base-3, …: the first where no file lies that differs from these, given by ending."""
    number = 1
    while any(differs(Path(f"{place(base, number)}.{ending}"), content) for ending, content in contents.items()):
        number += 1
    return place(base, number)


def place(base: Path, number: int) -> Path:
    return base if number == 1 else base.with_name(f"{base.name}-{number}")


def differs(path: Path, content: bytes) -> bool:
    return path.exists() and (not path.is_file() or path.read_bytes() != content)
