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
import contextlib
import io
import json
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

PATIENCE = 60  # seconds of the processor for a case
FAST = ("victim.depth=10", "train.epochs=2", "train.batch=40", "dataset.clean_ratio=0.3", "reference=false")
TROJAN = ("attack=trojan", "attack.steps=2", "attack.batch=8")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A kind of file, and a command that reads it.

    Fields:
        name: of the kind
        file: what is damaged
        command: what reads it
        answer: what the command found out, from what it printed
        many: the command reads other runs too
        believed: nobody can know whether the file is as it was
        restored: a folder that the command changes, and that is put back after each case
    """

    name: str
    file: Path
    command: tuple[str, ...]
    answer: Callable[[str], Any]
    many: bool = False
    believed: bool = False
    restored: Path | None = None


class Bomb:
    """What unpickling it would do, a test sees."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.canary), "w")


def ask(*command: str) -> tuple[int, str]:
    """The exit code of a command, and all that it prints."""
    from nba_cli import files
    from nba_cli.cli import main
    from nba_cli.data import tree
    from nba_cli.runs import declared, reading

    for kept in (files._file_digest, tree.source, declared.declared, reading.defaults):
        kept.cache_clear()  # as in a process of its own
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main.launch(command[0], list(command[1:]))
    return code, said.getvalue()


def done(*command: str, code: int = 0) -> str:
    found, text = ask(*command)
    assert found == code, text
    return text


def figures(text: str) -> Any:
    """What the run that has just ended measured, and its weights."""
    (out,) = {line.removeprefix("folder: ") for line in text.splitlines() if line.startswith("folder: ")}
    record = json.loads((Path(out) / "metrics.json").read_text())
    return record["figures"], record["digests"]["weights"]


def written(file: Path) -> Callable[[str], Any]:
    return lambda text: file.read_bytes()


def arrays() -> dict[str, Any]:
    """Noise of 16x16, brighter by class."""
    import numpy as np

    draw, found = np.random.default_rng(0), {}
    for part, count in (("train", 120), ("test", 30)):
        labels = np.arange(count) % 3
        images = draw.integers(0, 120, (count, 16, 16, 3)) + 60 * labels[:, None, None, None]
        found |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels.astype(np.uint8)}
    return found


def world(root: Path) -> list[Subject]:
    """Runs of all kinds below `root`, and what reads them."""
    runs = f"output={root}/runs"
    npz = data_sets(root)
    table, status = (("table", runs, "format=csv"), ("status", runs))
    drawn = lambda kind: ("plot", runs, f"kind={kind}", f"file={root}/plot")  # noqa: E731
    victim = folder_of(done("attack", runs, *FAST, *npz, "attack=blend"))
    learned = folder_of(done("attack", runs, *FAST, *npz, *TROJAN))
    own = folder_of(done("attack", runs, *FAST, "dataset=folder", "dataset.size=16", f"dataset.path={root}/set"))
    cleaned = ("defense=ft", "defense.train.steps=6", "snapshots=true")
    defended = folder_of(done("defend", runs, *FAST, *npz, "attack=blend", *cleaned))
    other = f"output={root}/other"  # so that no status tells of what this has found
    again = lambda run: ("evaluate", other, f"run={run}", "overwrite=true")  # noqa: E731
    stopped, resumed = interrupted(root, npz)
    log, journal = failed(root / "runs"), sweep(root / "runs")
    say = lambda text: text  # noqa: E731
    given = ("victim=wrn_16_1", "victim.depth=10", *npz, "overwrite=true", "attack=badnets")
    foreign = [
        Subject(
            name=file.name, file=file, command=("evaluate", other, f"weights={file}", *given), answer=say, believed=True
        )
        for file in elsewhere(root, victim)
    ]
    seen = ("preview", runs, *npz, *FAST[:3], *TROJAN)
    cache = next((root / "data/cache").glob("*-16-*/about.json")).parent
    hidden, png = next((root / "data/cache").glob("*.json")), next((root / "set/test").rglob("*.png"))
    (kept,) = (root / "runs/trigger").iterdir()
    (preview,) = {folder_of(done(*seen))}
    (declared,) = (root / "cache/nba").glob("declared-*.json")
    (root / "published.csv").write_text(
        "source,dataset,victim,attack,defense,poison_rate,acc,asr,ra\nX,npz,wrn,blend,ft,0.1,90,1,80\n"
    )
    compared = ("table", runs, "format=markdown", f"compare={root}/published.csv")
    one = lambda name, file, command, answer, **more: Subject(  # noqa: E731
        name=name, file=file, command=command, answer=answer, **more
    )
    return [
        one("metrics.json in a table", defended / "metrics.json", table, say, many=True),
        one("metrics.json in status", victim / "metrics.json", status, say, many=True),
        one("metrics.json of one run", victim / "metrics.json", again(victim), figures),
        one("config.yaml", victim / "config.yaml", again(victim), figures),
        one("model.safetensors", victim / "model.safetensors", again(victim), figures),
        one("trigger.safetensors", learned / "trigger.safetensors", again(learned), figures),
        one(
            "history.jsonl in a plot",
            victim / "history.jsonl",
            drawn("training"),
            written(root / "plot.svg"),
            many=True,
        ),
        one("history.jsonl in status", stopped / "history.jsonl", status, say, many=True),
        one("curve.jsonl", defended / "curve.jsonl", drawn("defense"), written(root / "plot.svg"), many=True),
        one("checkpoint", stopped / "checkpoint", resumed, figures, restored=stopped),
        one("run.log", log, status, say, many=True, believed=True),
        one("sweep.jsonl", journal, status, say, many=True, believed=True),
        one("learned trigger", kept / "trigger.safetensors", seen, written(preview / "preview.png"), many=True),
        one("cost of a trigger", kept / "record.json", seen, written(preview / "preview.png"), many=True),
        one("set.npz", root / "set.npz", again(victim), figures),
        one("an image", png, again(own), figures),
        one("pixels", cache / "test.uint8", again(own), figures),
        one("about.json", cache / "about.json", again(own), figures),
        one("record of a folder", hidden, again(own), figures),
        one("declarations", declared, table, say),
        one("published.csv", root / "published.csv", compared, say, believed=True),
        *foreign,
    ]


def data_sets(root: Path) -> tuple[str, ...]:
    """Write the images as an .npz and as a folder; returns the options of the former."""
    import numpy as np
    from PIL import Image

    found = arrays()
    np.savez_compressed(root / "set.npz", **found)
    for part in ("train", "test"):
        for number, (image, label) in enumerate(zip(found[f"x_{part}"], found[f"y_{part}"], strict=True)):
            place = root / "set" / part / str(label)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number}.png")
    return "dataset=npz", f"dataset.path={root}/set.npz"


def folder_of(text: str) -> Path:
    """The folder of the run that has just ended; that of its picture, of a preview."""
    lines = text.splitlines()
    found = [line.partition(": ")[2] for line in lines if line.startswith(("folder: ", "picture: "))]
    return Path(found[-1].removesuffix("/preview.png"))


def interrupted(root: Path, data: tuple[str, ...]) -> tuple[Path, tuple[str, ...]]:
    """The folder of a run that was interrupted behind its last epoch, and the command that finishes it."""
    from nba_cli.victims import weights

    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    command, save = ("attack", f"output={root}/runs", *FAST, *data, "seed=1"), weights.save
    weights.save = stop  # type: ignore[assignment]
    done(*command, code=130)
    weights.save = save
    (checkpoint,) = (root / "runs/attack").glob("*/checkpoint")
    return checkpoint.parent, command


def failed(runs: Path) -> Path:
    """The log of a run that failed."""
    log = runs / "attack/failed/run.log"
    log.parent.mkdir()
    log.write_text("2026-01-01 INFO nba attack\n2026-01-01 ERROR failed\n")
    return log


def sweep(runs: Path) -> Path:
    """The journal of a sweep that has stopped."""
    from nba_cli.cli.journal import FILE, FOLDER, Job, Journal

    journal = Journal(runs / FOLDER / "stopped")
    journal.open("attack", ["seed=0,1"], ["seed"], 2)
    journal.note(Job(number=0, overrides=["seed=0"], label="seed=0", end="finished", seconds=3.0))
    journal.note(Job(number=1, overrides=["seed=1"], label="seed=1"))
    journal.lock.release()
    return journal.folder / FILE


def elsewhere(root: Path, victim: Path) -> Iterator[Path]:
    """Weights in the forms that others give them; the last two would run code."""
    import torch
    from safetensors.torch import load_file

    state = load_file(victim / "model.safetensors")
    shutil.copy(victim / "model.safetensors", root / "foreign.safetensors")
    torch.save({"model": state, "model_name": "wrn", "num_classes": 3}, root / "foreign.pt")
    torch.save(state, root / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"model": state, "bomb": Bomb(root / "canary")}, root / "bomb.pt")
    (root / "bomb.pkl.pt").write_bytes(pickle.dumps(Bomb(root / "canary"), protocol=2))
    yield from (root / name for name in ("foreign.safetensors", "foreign.pt", "old.pt", "bomb.pt", "bomb.pkl.pt"))


def flipped(content: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def cut(content: bytearray, draw: random.Random) -> None:
    del content[draw.randrange(len(content)) :]


def overwritten(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    length = draw.randint(1, min(64, len(content) - start))
    content[start : start + length] = draw.randbytes(length)


def lost(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    del content[start : start + draw.randint(1, 64)]


def doubled(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    content[start:start] = content[start : start + draw.randint(1, 64)]


def replaced(content: bytearray, draw: random.Random) -> None:
    content[:] = draw.randbytes(draw.choice((0, 1, 10, 1000)))


def renumbered(content: bytearray, draw: random.Random) -> None:
    """Another digit in the place of one: what is text stays well-formed."""
    if digits := [place for place, byte in enumerate(content) if 48 <= byte <= 57]:
        content[draw.choice(digits)] = draw.choice(b"0123456789")


DAMAGES = (flipped, flipped, cut, overwritten, lost, doubled, replaced, renumbered)


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
