"""What the fuzzer damages, and what it needs for that: images, runs that stopped, weights in foreign forms."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.fuzz.asking import FAST, done


class Bomb:
    """What unpickling it would do, a test sees."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.canary), "w")


def arrays() -> dict[str, Any]:
    """Noise of 16x16, brighter by class."""
    import numpy as np

    draw, found = np.random.default_rng(0), {}
    for part, count in (("train", 120), ("test", 30)):
        labels = np.arange(count) % 3
        images = draw.integers(0, 120, (count, 16, 16, 3)) + 60 * labels[:, None, None, None]
        found |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels.astype(np.uint8)}
    return found


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
