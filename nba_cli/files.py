"""Files: written whole or not at all, named by their digest; and where the configs lie."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from nba_cli.errors import Refused, given_as

KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device",
         stat.S_IFBLK: "device"}  # fmt: skip
"""What may lie in the place of a file. Reading a pipe may take for ever, and a rename would replace a device."""


def given(path: str) -> Path:
    """A path as a user writes it. "." becomes the folder's name, by which a refusal of what lies in it begins."""
    found = Path(os.path.expanduser(path))
    return found if found.parts else Path.cwd()


def regular(path: Path) -> Path:
    """`path`, where a file is or may be written.

    Raises:
        Refused: something else lies there.
        OSError: one may not look.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    if not stat.S_ISREG(mode):
        raise Refused(f"{path}: a {KINDS.get(stat.S_IFMT(mode), 'special file')}, and it has to be a file.")
    return path


@contextlib.contextmanager
def reading(place: Path) -> Iterator[None]:
    """Refuse the file or folder `place` if the system does not let it be read."""
    try:
        yield
    except OSError as error:
        raise Refused(f"{place}: cannot be read ({error.strerror}).") from error


def write(path: Path, content: bytes | str) -> None:
    """Write by rename: whoever looks finds the old file or the new one, never a part. A link stays, and what it is to.

    Raises:
        Refused: something that is no file lies there.
        OSError: the disk is full or cannot be written; nothing is left behind.
    """
    target = Path(os.path.realpath(regular(path)))
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)  # of a process that was killed; were it a link, it would be followed
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error


def append(path: Path, line: str) -> None:
    """Add a line.

    Raises:
        Refused: something that is no file lies there.
        OSError: the disk is full or cannot be written.
    """
    try:
        with regular(path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


SEAL = "seal"


def seal(content: Any) -> str:
    """Sixteen hex digits that no other nested plain values have."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Plain values with their seal among them, because a flipped bit in a JSON file may give another valid one."""
    return content | {SEAL: seal(content)}


def unbroken(content: dict[str, Any]) -> bool:
    """Whether `sealed` values are as they were; those of older versions have no seal and are believed."""
    own = {name: value for name, value in content.items() if name != SEAL}
    return SEAL not in content or content[SEAL] == seal(own)


def acquired(lock: Path, waiting: Callable[[], object]) -> AbstractContextManager:
    """Hold `lock` until the context is left. `waiting` is called if another process holds it.

    Raises:
        OSError: the file cannot be written.
    """
    import filelock  # a third of what completion would take to start

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
    """SHA-256 of a file's bytes, computed once per process while the file stays unchanged.

    Raises:
        Refused: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise Refused(f"{path}: no such file.")
    with reading(path):
        stat = os.stat(path)
        return _file_digest(str(path), stat.st_size, stat.st_mtime_ns)


def digest_of(option: str, file: str) -> str:
    """The digest of the file that a user gave as `option`.

    Raises:
        Refused: it cannot be read.
    """
    with given_as(f"{option}={file}", Path(file)):
        return file_digest(Path(file))


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


def choices(group: str, *folders: Path) -> list[str]:
    """What a group is chosen from: its YAML files in the configs and in `folders`; demo/ft lies in a subfolder."""
    roots = [folder / group for folder in (conf_dir(), *folders)]
    return sorted({str(file.relative_to(root).with_suffix("")) for root in roots for file in root.rglob("*.yaml")})
