"""Damages the files that nba reads, one at a time and at random, and looks at what nba makes of them.

    python -m scripts.fuzz                     # 1,000 cases; prints its seed
    python -m scripts.fuzz --seed 7 --cases 50 --only checkpoint

A case is sound if nba gives the answer that it gave before, or says in one line which file is not as it was: a reader
of many runs leaves that one out (exit code 0), a reader of one refuses it (2). A file that is somebody else's has no
digest to be compared with, so another answer is believed there. Never sound are a traceback, a warning of Python's, a
minute without an answer, and code of a file that runs. Exit code 1 if there was such a case.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from scripts.fuzz.asking import ask
from scripts.fuzz.damages import DAMAGES
from scripts.fuzz.world import Subject, world

PATIENCE = 60  # seconds of the processor for a case


class Late(BaseException):
    """Nothing of ours catches it."""


def late(number: int, frame: FrameType | None) -> None:
    raise Late(f"no answer within {PATIENCE} s of the processor")


def verdict(subject: Subject, whole: Any, canary: Path) -> tuple[str, str]:
    """("sound" or what is wrong, what was printed) of the command on a damaged file."""
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        code, text = ask(*subject.command)
        answer = subject.answer(text) if code == 0 else None
    except BaseException:
        return "traceback", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    named = any(str(place) in text for place in (subject.file, subject.file.parent))
    if canary.exists():
        return "code ran", text
    if "Traceback" in text or "Warning: " in text:
        return "traceback or warning", text
    if code == 2:
        line = text.splitlines()[-1]
        return ("refused" if line.startswith("nba: ") and named else "refused without a name"), text
    if code:
        return f"exit code {code}", text
    if answer == whole:
        return "same answer", text
    if subject.many and named:
        return "left out", text
    return ("believed" if subject.believed else "WRONG ANSWER"), text


SOUND = ("same answer", "refused", "left out", "believed")


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--cases", type=int, default=1000)
    asked.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked.add_argument("--only", default="", help="subjects whose name contains this")
    given = asked.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        return fuzz(Path(place).resolve(), given.cases, given.seed, given.only)


def fuzz(root: Path, cases: int, seed: int, only: str) -> int:
    """Build the runs, damage their files one after the other, and print what became of it; returns the exit code."""
    os.environ |= {"NBA_DATA": f"{root}/data", "XDG_CACHE_HOME": f"{root}/cache", "COLUMNS": "200", "MPLBACKEND": "Agg"}
    signal.signal(signal.SIGPROF, late)
    draw, counts, bad = random.Random(seed), Counter[tuple[str, str]](), 0
    subjects = [each for each in world(root) if only in each.name]
    pristine: dict[Path | None, Path] = {each.restored: kept(each.restored, root) for each in subjects if each.restored}
    whole = {}
    for each in subjects:
        code, text = ask(*each.command)
        assert code == 0 or "bomb" in each.name, text
        whole[each.name] = each.answer(text)
        put_back(each, pristine)
    began = time.monotonic()
    for number in range(cases):
        subject = subjects[number % len(subjects)]
        content = subject.file.read_bytes()
        damaged, damage = bytearray(content), draw.choice(DAMAGES)
        damage(damaged, draw)
        subject.file.write_bytes(damaged)
        found, text = verdict(subject, whole[subject.name], root / "canary")
        counts[subject.name, found] += 1
        if found not in SOUND:
            bad += 1
            print(f"case {number}: {subject.name}, {damage.__name__}: {found}\n{text}\n", flush=True)
        (root / "canary").unlink(missing_ok=True)
        if subject.restored is None:
            subject.file.write_bytes(content)
        put_back(subject, pristine)
    for (name, found), count in sorted(counts.items()):
        print(f"{count:>6}  {name}: {found}")
    print(f"{cases} cases in {time.monotonic() - began:.0f} s, {bad} not sound, seed {seed}")
    return 1 if bad else 0


def kept(folder: Path, root: Path) -> Path:
    copy = root / "pristine" / folder.name
    shutil.copytree(folder, copy)
    return copy


def put_back(subject: Subject, pristine: dict[Path | None, Path]) -> None:
    """Undo what a command did to the folder that it changes."""
    if subject.restored is not None:
        shutil.rmtree(subject.restored, ignore_errors=True)
        shutil.copytree(pristine[subject.restored], subject.restored)


if __name__ == "__main__":
    sys.exit(main())
