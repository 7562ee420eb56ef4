"""Workers of a sweep end when its parent process is gone, however it went: a SIGKILL leaves it no time to say so.

The parent holds a file locked until its process ends, which the kernel sees to; a thread of each worker waits for that
lock. That is so on Linux and on macOS, whatever stands between the two processes, and costs nothing while one waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from functools import cache
from pathlib import Path

FILE = "parent"  # in the folder of the sweep
ORPHANED = 1  # the exit code of a worker whose parent is gone


def hold(folder: Path) -> None:
    """Hold the file of the sweep in `folder` for as long as this process lives: its parent calls it.

    Where the file system has no locks there is no file, and workers stay.
    """
    file = folder / FILE
    with contextlib.suppress(OSError):
        try:
            fcntl.flock(os.open(file, os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)  # never closed
        except OSError:
            file.unlink()


@cache
def end_with_parent(folder: Path) -> None:
    """End this process when that which holds the file in `folder` has ended; a worker calls it, once or more."""
    try:
        held = os.open(folder / FILE, os.O_RDWR)
    except OSError:
        return
    threading.Thread(target=_wait, args=(held,), daemon=True).start()


def _wait(held: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_SH)
        os._exit(ORPHANED)
