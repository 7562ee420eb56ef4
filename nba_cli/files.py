"""Files: written whole or not at all, named by their digest; and where the configs lie."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import filelock

from nba_cli.errors import Refused


def write(path: Path, content: bytes | str) -> None:
    """Write by rename: whoever looks finds the old file or the new one, never a part.

    Raises:
        OSError: the disk is full or cannot be written; nothing is left behind.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def acquired(lock: Path, waiting: Callable[[], object]) -> AbstractContextManager:
    """Hold `lock` until the context is left. `waiting` is called if another process holds it.

    Raises:
        OSError: the file cannot be written.
    """
    held = filelock.FileLock(lock)
    try:
        return held.acquire(timeout=0)
    except filelock.Timeout:
        waiting()
        return held.acquire()


@functools.lru_cache(maxsize=32)
def _file_digest(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, computed once per process while the file stays unchanged."""
    if not path.is_file():
        raise Refused(f"{path}: no such file.")
    stat = os.stat(path)
    return _file_digest(str(path), stat.st_size, stat.st_mtime_ns)


def unchanged(path: Path, recorded: str | None, cure: str) -> Path:
    """`path`, whose SHA-256 is the `recorded` one; None: an older version recorded none.

    Raises:
        Refused: it is another; the line ends in the `cure`.
    """
    if recorded not in (None, found := file_digest(path)):
        raise Refused(f"{path}: changed since it was written: its SHA-256 was {recorded} and is {found}. {cure}")
    return path


def cache_folder() -> Path:
    """Where what can be found anew is kept: $XDG_CACHE_HOME/nba, or ~/.cache/nba."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "nba")


def conf_dir() -> Path:
    """The configs: inside the package in a wheel, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"
