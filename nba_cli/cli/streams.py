"""stdout and stderr whose readers may leave, and whose disks may be full."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO, cast


class Lasting:
    """A stream that outlives its reader: what nobody can read any more is dropped, and `lost` says why.

    `nba attack | head -1` must not end a training, wherever in it a line is printed.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost: OSError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no defect

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        """Point the stream to nowhere, so that what is still in its buffer goes there too."""
        self.lost = self.lost or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def install() -> None:
    """Make both streams lasting; one that is closed leads nowhere from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
        setattr(sys, name, cast(TextIO, Lasting(stream)))


def settled(code: int, *, elsewhere: bool) -> int:
    """The exit code of a command that ended in `code`, once all that it said has been read, or could not be.

    A reader that leaves has read enough. A full disk is an error, unless the command's result lies `elsewhere`.
    """
    out = sys.stdout
    if not isinstance(out, Lasting):
        return code
    out.flush()
    if out.lost is None or out.lost.errno == errno.EPIPE:
        return code
    rest = " What was computed is in its folder, with its log." if elsewhere else ""
    print(f"nba: standard output: {out.lost.strerror}.{rest}", file=sys.stderr)
    return code if elsewhere else code or 2
