"""Running commands and reading what they leave."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nba_cli.training import loop

SHORT = (
    "victim.depth=10",
    "train.epochs=12",
    "train.batch=40",
    "attack.rate=0.2",
    "dataset.clean_ratio=0.3",
    "dataset.crop=1",
)


QUICK_NBA = ("defense.teacher.steps=6", "defense.student.steps=6")


NBA = [sys.executable, "-c", "from nba_cli.cli.main import main; main()"]


def results(root: Path, stage: str) -> list[Path]:
    return sorted(path.parent for path in (root / "runs" / stage).glob("*/metrics.json"))


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def lasting(found: dict) -> dict:
    """What has to be equal when the same command runs twice: all but clocks and places."""
    kept = {key: value for key, value in found.items() if key not in ("seconds", "memory", "made", "victim", "seal")}
    digests = {key: value for key, value in found["digests"].items() if key not in ("history", "curve")}
    return kept | {"settings": found["settings"] | {"output": None}, "digests": digests}  # histories hold seconds


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Interrupt the next training when it has saved so many checkpoints."""
    usual, saved = loop.save, list[int]()

    def save(*given: Any) -> None:
        usual(*given)
        saved.append(1)
        if len(saved) == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save", save)
