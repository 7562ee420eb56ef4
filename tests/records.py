"""Finished runs that exist as records only."""

from __future__ import annotations

import json
from pathlib import Path

SETTINGS = {
    "seed": 0,
    "defense_seed": 0,
    "output": "runs",
    "weights": None,
    "attack": {"kind": "blend", "rate": 0.1},
    "victim": {"kind": "wrn", "depth": 16},
    "dataset": {"kind": "cifar10", "clean_ratio": 0.05, "clean_seed": 0},
    "defense": {"kind": "ft"},
}


MADE = {"date": "2026-01-02T03:04", "commit": "abc", "processor": "CPU X", "threads": 2, "torch": "2"}


EMPTY = {
    "schema": 1,
    "precision": "bf16",
    "figures": {"acc": 0.9, "asr": None, "ra": None},
    "counts": {},
    "seconds": {},
    "made": {},
}
"""What every record has beside its stage and its settings."""


HOSTILE = "=cmd|'/c calc'!A1 [x](javascript:y) <script> `code` *b* _i_ \\end{tabular}"
"""What somebody else's record may hold, in words that Markdown, HTML, LaTeX and spreadsheets would act on."""


def put(root: Path, name: str, attack: str, defense: str, seed: int, shares: tuple, **more: object) -> Path:
    """A finished run that exists as a record only."""
    settings = json.loads(json.dumps(SETTINGS)) | {"seed": seed}
    settings["attack"]["kind"], settings["defense"]["kind"] = attack, defense
    for path, value in more.items():
        part, _, leaf = path.partition("__")
        if leaf:
            settings[part][leaf] = value
        elif path != "commit":
            settings[part] = value
    found = {
        "schema": 1,
        "stage": "defend",
        "settings": settings,
        "victim_label": "wrn_16_1",
        "precision": "bf16",
        "figures": dict(zip(("acc", "asr", "ra"), shares, strict=True)),
        "der": 0.5,
        "seconds": {"train": 100.0, "defense": 7.0},
        "counts": {"test": 10000},
        "made": MADE | {"commit": more.get("commit", "abc")},
    }
    folder = root / "defend" / name
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(found))
    return folder
