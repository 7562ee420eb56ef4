"""How ACC, ASR and RA move while a defense works.

Its weights are kept as it goes and measured after it has returned, so the defense never sees the numbers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file
from safetensors.torch import save as serialize
from torch import nn

from nba_cli import files
from nba_cli.runs.sound import FIGURES
from nba_cli.training import Event, Progress
from nba_cli.victims import weights


class Snapshots:
    """Progress that keeps the weights of every epoch that are weights of `model`, and passes everything on.

    Phases that train something else (masks, a curve between networks) leave none. The weights lie in `folder` until
    `measure` has written `curve`.
    """

    def __init__(self, folder: Path, curve: Path, model: nn.Module, onward: Progress) -> None:
        self.folder, self.curve, self.onward = folder, curve, onward
        self.names = model.state_dict().keys()
        shutil.rmtree(folder, ignore_errors=True)
        self.taken: list[tuple[str, int, Path]] = []

    def __call__(self, event: Event) -> None:
        self.onward(event)
        if event.snapshot is not None and (state := event.snapshot()).keys() == self.names:
            self.folder.mkdir(exist_ok=True)  # not before: the defense may refuse
            file = self.folder / f"{event.phase}-{event.step}.safetensors"
            files.write(file, serialize(weights.for_file(state)))
            self.taken.append((event.phase, event.step, file))

    def measure(self, model: nn.Module, figures: Callable[[], dict], before: dict, after: dict) -> None:
        """Write the curve: one snapshot after the other is loaded into `model` and measured by `figures`.

        The figures from before and after the defense stand first and last. Removes the snapshots.
        """
        lines = [point("before", 0, before)]
        for phase, step, file in self.taken:
            model.load_state_dict(load_file(file))
            lines.append(point(phase, step, figures()))
            shares = {name: share for name in FIGURES if (share := lines[-1][name]) is not None}
            self.onward(Event(f"measured/{phase}", step, self.taken[-1][1], shares))
        lines.append(point("after", 0, after))
        files.write(self.curve, "".join(json.dumps(files.sealed(line)) + "\n" for line in lines))
        shutil.rmtree(self.folder, ignore_errors=True)


def point(phase: str, step: int, figures: dict) -> dict:
    return {"phase": phase, "step": step} | {name: figures[name] for name in FIGURES}
