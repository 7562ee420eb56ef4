"""Runs of all kinds, and the commands that read their files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.fuzz.asking import FAST, done, figures, folder_of, written
from scripts.fuzz.material import data_sets, elsewhere, failed, interrupted, sweep

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
