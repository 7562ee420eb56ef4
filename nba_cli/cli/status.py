"""`nba status`: what is finished, running, interrupted or failed under a runs folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock
import rich

from nba_cli import domains, options
from nba_cli.cli import agenda
from nba_cli.cli.forecast import Outlook, progress_words
from nba_cli.cli.journal import FOLDER, Journal, journals
from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.runs import folder, sound
from nba_cli.runs.command_line import shell_line

OPTIONS = {"output": "folder that holds all run folders"}
VALUES = {"output": (options.FOLDER,)}  # what completion offers of them
RECORDED = ("attack", "defend", "evaluate")  # the stages whose runs end in a record
ENDED = ("finished", "damaged")  # the states of runs that have a record
BESIDE = 13  # columns for the state of a run, in front of its folder
GAP = "  "
LONGEST = GAP.join(f"{name.upper()} 100.00" for name in sound.FIGURES)  # figures at their longest


def state(out: Path, root: Path) -> str:
    """finished (has its metrics), running (somebody holds its lock), failed (its log ends so) or interrupted."""
    if folder.finished(out):
        return "finished"
    lock = folder.lock_file(out, root)
    try:
        if lock.exists():  # else it would be made, and the folder may be somebody else's
            with filelock.FileLock(lock, timeout=0):
                pass
    except filelock.Timeout:
        return "running"
    except OSError:  # it cannot be locked here, so no run of ours holds it
        pass
    log = out / folder.RUN_LOG
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return "failed" if " ERROR " in text.rpartition(" INFO ")[2] else "interrupted"


def described(out: Path, root: Path) -> tuple[str, str]:
    """The state of a run, damaged if it is finished and its record cannot be read, and its last words: the figures of
    a finished run, what is wrong with a damaged one, the last epoch of any other."""
    if (found := state(out, root)) != "finished":
        return found, last_epoch(out)
    try:
        return found, in_words(folder.read_metrics(out)["figures"])
    except Refused as error:
        return "damaged", str(error)


def in_words(figures: dict[str, Any]) -> str:
    shown = {name: figures[name] for name in sound.FIGURES if isinstance(figures[name], (int, float))}
    return GAP.join(f"{name.upper()} {100 * value:.2f}" for name, value in shown.items())


def last_epoch(out: Path) -> str:
    lines = folder.read_lines(out / folder.HISTORY, "epoch", "loss")
    if not lines:
        return ""
    last = lines[-1]
    return f"{last.get('phase')}, epoch {last['epoch']}, loss {last['loss']:.4f}"


def main(arguments: Sequence[str]) -> int:
    """Read `output=FOLDER`.

    Raises:
        Refused: another option, or one without a value, or no such folder.
    """
    given = {word.partition("=")[0]: word.partition("=")[2] for word in arguments}
    if given.keys() - OPTIONS.keys():
        raise Refused(f"nba status {' '.join(arguments)}: it takes one option, output=FOLDER.")
    for name, value in given.items():
        domains.check_text(name, value)
    show(Path(os.path.expanduser(given.get("output", "runs"))))
    return 0


def show(root: Path) -> None:
    """Print each run, the unfinished ones last, and how many there are of each state.

    Raises:
        Refused: there is no such folder.
    """
    if not root.is_dir():
        raise Refused(f"output={root}: no such folder. Give the folder that holds the runs: nba status output=FOLDER")
    folders = [out for stage in RECORDED for out in sorted((root / stage).glob("*")) if out.is_dir()]
    runs = [(found, str(out.relative_to(root)), words) for out in folders for found, words in [described(out, root)]]
    for line in run_lines(sorted(runs, key=lambda run: run[0] not in ENDED)):
        LOG.info(line)
    counts = Counter(found for found, _, _ in runs)
    shown = ["finished", "running", "interrupted", "failed", *(["damaged"] if counts["damaged"] else [])]
    summary = ", ".join(f"{counts[name]} {name}" for name in shown)
    LOG.info(f"{root}: {summary}")
    for journal in journals(root / FOLDER):
        if about := journal.about:  # else it ended in this moment
            LOG.info(sweep_line(journal, about, root))


def run_lines(runs: Sequence[tuple[str, str, str]]) -> list[str]:
    """State, folder and last words of each run: the words behind the folder, or below it where the terminal is too
    narrow for figures there.

    Not a table, which would break the paths.
    """
    wide = max((len(out) for _, out, _ in runs), default=0)
    if BESIDE + wide + len(GAP) + len(LONGEST) <= rich.get_console().width:
        lines = [f"{found:<{BESIDE}}{out:<{wide}}{GAP}{words}" for found, out, words in runs]
    else:
        lines = [f"{found:<{BESIDE}}{out}\n{'':<{BESIDE}}{words}" for found, out, words in runs]
    return [line.rstrip() for line in lines]


def sweep_line(journal: Journal, about: dict[str, Any], root: Path) -> str:
    """The progress of a sweep, as its own bar shows it; for one that has stopped, the command that resumes it."""
    jobs = journal.jobs()
    ended = [job for job in jobs if job.end is not None]
    begun = [job for job in jobs if job.end is None and job.folder]
    running = [job for job in begun if state(Path(str(job.folder)), root) == "running"]
    command = shell_line(["nba", about["stage"], "--multirun", *about["command"]])
    planned = agenda.read(journal.folder)
    left = Outlook(planned, root).left({job.number: job for job in [*ended, *running]}) if planned else ""
    words = progress_words(ended, len(running), left)
    done = f"sweep: {len(ended)} of {about['total'] or 'many'} done, {words}"
    return f"{done}: {command}" if journal.alive() else f"{done}; stopped. Resume with: {command}"
