"""`nba status`: what is finished, running, interrupted or failed under a runs folder."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from pathlib import Path

import filelock

from nba_cli import logs, overview, sweeps
from nba_cli.errors import Refused

STAGES = ("attack", "defend", "evaluate")


def state(out: Path, root: Path) -> str:
    """finished (has its metrics), running (somebody holds its lock), failed (its log ends so) or interrupted."""
    if (out / "metrics.json").is_file():
        return "finished"
    try:
        with filelock.FileLock(root / ".locks" / f"{out.name}.lock", timeout=0):
            pass
    except filelock.Timeout:
        return "running"
    log = out / "run.log"
    text = log.read_text(encoding="utf-8") if log.is_file() else ""
    return "failed" if " ERROR " in text.rpartition(" INFO ")[2] else "interrupted"


def progress(out: Path) -> str:
    """The last epoch of an unfinished run, the figures of a finished one."""
    if (out / "metrics.json").is_file():
        found = json.loads((out / "metrics.json").read_text(encoding="utf-8")).get("figures", {})
        return "  ".join(
            f"{name.upper()} {100 * found[name]:.2f}" for name in ("acc", "asr", "ra") if found.get(name) is not None
        )
    file = out / "history.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    if not lines:
        return ""
    last = json.loads(lines[-1])
    return f"{last['phase']}, epoch {last['epoch']}, loss {last['loss']:.4f}"


def show(root: Path) -> None:
    """Print a line for each run, the unfinished ones last, and how many there are of each state.

    Raises:
        Refused: there is no such folder.
    """
    if not root.is_dir():
        raise Refused(f"output={root}: no such folder. Give the folder that holds the runs: nba status output=FOLDER")
    folders = [out for stage in STAGES for out in sorted((root / stage).glob("*")) if out.is_dir()]
    states = {out: state(out, root) for out in folders}
    for out, found in sorted(states.items(), key=lambda pair: pair[1] != "finished"):
        logs.LOG.info(f"{found:<12} {out.relative_to(root)}  {progress(out)}")  # lines, not a table: paths stay whole
    counts = Counter(states.values())
    summary = ", ".join(f"{counts[name]} {name}" for name in ("finished", "running", "interrupted", "failed"))
    logs.LOG.info(f"{root}: {summary}")
    for journal in sweeps.journals(root / sweeps.FOLDER):
        if journal.about:  # else it ended in this moment
            logs.LOG.info(sweep(journal, root))


def sweep(journal: sweeps.Journal, root: Path) -> str:
    """What the bar of a sweep shows to whoever started it; how to go on where nobody does any more."""
    about, jobs = journal.about, journal.jobs()
    ended = [job for job in jobs if job.state != "running"]
    running = sum(
        bool(job.folder) and state(Path(str(job.folder)), root) == "running" for job in jobs if job not in ended
    )
    command = shlex.join(["nba", about["stage"], "--multirun", *about["command"]])
    done = (
        f"sweep: {len(ended)} of {about['total'] or 'many'} done, {overview.progress(ended, running, about['total'])}"
    )
    return f"{done}: {command}" if journal.alive() else f"{done}; over. The same command goes on: {command}"
