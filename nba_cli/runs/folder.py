"""A run's folder: its files, its lock, its life. `metrics.json` is written last, so its presence means finished."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nba_cli import console, files
from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.runs import sound

METRICS = "metrics.json"
WEIGHTS = "model.safetensors"
CONFIG = "config.yaml"
HISTORY = "history.jsonl"
PICTURE = "trigger.png"
TRIGGER = "trigger.safetensors"
RUN_LOG = "run.log"
CHECKPOINT = "checkpoint"
CURVE = "curve.jsonl"
SNAPSHOTS = "snapshots"  # a folder, while the run is unfinished
LOGGED = "logger"  # the number under which its logger shows it
CLEANED = "cleaned"  # with the ending of the file that came in
PREVIEW = "preview.png"

LOCKS = ".locks"  # beside the stages, in the folder of all runs
DIGESTS = {WEIGHTS: "weights", TRIGGER: "trigger_file", HISTORY: "history", CURVE: "curve"}  # their names in the record


def once(
    out: Path,
    root: str,
    do: Callable[[], None],
    found: Callable[[Path], None] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Do a run in its folder `out` below `root`, unless it is finished there; returns `out`.

    Whoever needs the same run meanwhile waits, and then finds it finished: `found` is called with the
    folder instead of `do`.

    Raises:
        Refused: `do` refused, and its folder is removed, unless something was computed in it. Or somebody else has
            removed the folder.
    """
    with locked(out, Path(root)):
        if finished(out) and not overwrite:
            read_metrics(out)  # a damaged record is no finished run
            LOG.info(f"{out.parent.name}: already finished: {out} (overwrite=true does it again)")
            if found is not None:
                found(out)
            return out
        log = files.regular(out / RUN_LOG)
        try:
            with console.recording(log):
                do()
        except Refused:
            discard(out)
            raise
        except FileNotFoundError as error:
            if out.is_dir():
                raise
            raise Refused(
                f"{out}: the folder was removed while the run worked in it. Run the command again."
            ) from error
    return out


@contextmanager
def locked(out: Path, root: Path) -> Iterator[None]:
    """Hold the run's lock; whoever needs the same run waits.

    Raises:
        Refused: the folder cannot be made.
    """
    try:
        (root / LOCKS).mkdir(parents=True, exist_ok=True)
        waiting = partial(LOG.info, f"waiting: another process works on {out}")
        held = files.acquired(lock_file(out, root), waiting)
        out.mkdir(parents=True, exist_ok=True)  # now: whoever held the lock may have removed a refused run
    except OSError as error:
        raise Refused(
            f"output={root}: cannot be written ({error.strerror}). Set output=FOLDER to one that can."
        ) from error
    with held:
        yield


def lock_file(out: Path, root: Path) -> Path:
    """The file that whoever works on the run holds locked."""
    return root / LOCKS / f"{out.name}.lock"


def finished(out: Path) -> bool:
    return os.path.isfile(out / METRICS)  # Path.is_file raises where one may not look


def begin(out: Path, stage: str, settings: dict[str, Any], *, overwrite: bool = False) -> None:
    """Mark the run unfinished and write down its plain settings; called when nothing can be refused any more."""
    (out / METRICS).unlink(missing_ok=True)
    (out / CURVE).unlink(missing_ok=True)  # of an earlier run with snapshots
    if overwrite:
        (out / CHECKPOINT).unlink(missing_ok=True)
    files.write(out / CONFIG, OmegaConf.to_yaml(OmegaConf.create({"stage": stage} | settings)))


def discard(out: Path) -> None:
    """Remove what a refused run wrote, unless something was computed: a checkpoint, weights, a result or a preview.

    Files that no run writes stay, and so does their folder.
    """
    if any((out / name).exists() for name in (CHECKPOINT, WEIGHTS, METRICS, PREVIEW)):
        return
    shutil.rmtree(out / SNAPSHOTS, ignore_errors=True)
    for name in (RUN_LOG, CONFIG, HISTORY, CURVE, PICTURE, TRIGGER, LOGGED):
        with contextlib.suppress(OSError):  # a folder of the user's, of that name
            (out / name).unlink()
    with contextlib.suppress(OSError):  # not empty, or a link to a folder
        out.rmdir()


def finish(out: Path, metrics: dict) -> None:
    """Mark the run finished: its record is written last, by rename."""
    (out / CHECKPOINT).unlink(missing_ok=True)
    keep(out, {"schema": sound.SCHEMA} | metrics)


def keep(out: Path, record: dict[str, Any]) -> None:
    files.write(out / METRICS, json.dumps(sound.with_seal(json.loads(json.dumps(record))), indent=2) + "\n")


def amend(out: Path, more: dict) -> None:
    """Add measurements to the record of a finished run; what made it stays as it is."""
    keep(out, read_metrics(out) | more)


def intact(out: Path, name: str) -> Path:
    """A file of a finished run that is as its record says: weights, trigger, history or curve.

    Raises:
        Refused: they are not.
    """
    recorded = read_metrics(out).get("digests", {}).get(DIGESTS[name])
    return files.unchanged(out / name, recorded, f"Put the file back, or delete {out} to do the run again.")


def read_metrics(out: Path) -> dict[str, Any]:
    """The record of a finished run.

    Raises:
        Refused: the file is damaged, or another version of nba wrote it.
    """
    file = out / METRICS
    try:
        found = json.loads(files.regular(file).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(file, str(error)) from error
    if why := sound.fault(found):
        raise damaged(file, why)
    return found


def damaged(file: Path, why: str) -> Refused:
    return Refused(f"{file}: cannot be used ({why}). Do the run again with overwrite=true, or delete its folder.")


def read_lines(file: Path, *needed: str) -> list[dict[str, Any]]:
    """The lines of a run's .jsonl file but for damaged ones and those that lack a `needed` number; a warning tells."""
    lines, found = file.read_bytes().splitlines() if file.is_file() else [], []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict) and all(map(sound.is_number, map(entry.get, needed))) and files.unbroken(entry):
                found.append(entry)
    if len(found) < len(lines):
        LOG.warning(f"{file}: {len(lines) - len(found)} of its {len(lines)} lines cannot be used and are left out")
    return found
