"""How ACC, ASR and RA move while a defense works. It never learns: what it passed on is measured after it returned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from nba_cli import files, weights
from nba_cli.train import Report, Snapshot

FOLDER = "snapshots"  # in a run folder, while the run is unfinished
CURVE = "curve.jsonl"


class Snapshots:
    """A report that keeps the weights of every epoch that are weights of `model`, and passes everything on.

    Phases that train something else (masks, a curve between networks) leave none.
    """

    def __init__(self, folder: Path, model: nn.Module, onward: Report) -> None:
        self.folder, self.onward = folder, onward
        self.names = model.state_dict().keys()
        shutil.rmtree(folder, ignore_errors=True)
        self.taken: list[tuple[str, int, Path]] = []

    def __call__(
        self,
        phase: str,
        step: int,
        total: int,
        scalars: dict[str, float] | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.onward(phase, step, total, scalars, snapshot)
        if snapshot is not None and (state := snapshot()).keys() == self.names:
            self.folder.mkdir(exist_ok=True)  # not before: the defense may refuse
            file = self.folder / f"{phase}-{step}.safetensors"
            files.write(file, weights.serialize(weights.plain(state)))
            self.taken.append((phase, step, file))

    def measure(self, model: nn.Module, figures: Callable[[], dict], before: dict, after: dict) -> None:
        """Write `curve.jsonl` beside the snapshots: one after the other is loaded into `model` and measured by
        `figures`; the figures from before and after the defense stand first and last. Removes the snapshots."""
        lines = [point("before", 0, before)]
        for phase, step, file in self.taken:
            model.load_state_dict(load_file(file))
            lines.append(point(phase, step, figures()))
        lines.append(point("after", 0, after))
        files.write(self.folder.parent / CURVE, "".join(json.dumps(line) + "\n" for line in lines))
        shutil.rmtree(self.folder, ignore_errors=True)


def point(phase: str, step: int, figures: dict) -> dict:
    return {"phase": phase, "step": step} | {name: figures[name] for name in ("acc", "asr", "ra")}
