"""`nba preview`: draw triggers on test images. Nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from attacks import Attack, Learned, stamped
from nba_cli.console import LOG
from nba_cli.data import Data, Splits
from nba_cli.errors import Refused
from nba_cli.metrics import visibility
from nba_cli.pipeline import preview_sheet, trigger_cache, workbench
from nba_cli.pipeline.difference import difference
from nba_cli.pipeline.preview_sheet import View
from nba_cli.runs import folder
from nba_cli.runs.derived import as_attack
from nba_cli.runs.naming import folder_of
from nba_cli.runs.plain import to_plain
from nba_cli.runs.registry import GROUPS, kind
from nba_cli.runs.settings import AttackRun, PreviewRun

COLUMNS = 6  # images, where the user names none


def previewed(run: PreviewRun, again: Callable[[Path], None] | None = None) -> Path:
    """Draw a preview, even if there already is one; returns its folder."""
    out = folder_of("preview", run)
    return folder.once(out, run.output, lambda: preview(run, out), overwrite=True)


def preview(run: PreviewRun, out: Path) -> None:
    """Draw triggers on test images. A learned trigger is shown if a run has learned it."""
    splits = workbench.load_data(run)
    index = choose_images(splits.test, run.images)
    clean = splits.test.images[index]
    every = (cls() for cls in GROUPS["attack"].values())
    attacks = [run.attack] if run.attack else [attack for attack in every if attack.rate]
    views = [view_of_run(as_attack(run, attack=attack), splits, clean, index) for attack in attacks]
    folder.begin(out, "preview", to_plain(run))
    preview_sheet.save(clean, views, out / folder.PREVIEW)
    preview_sheet.show(clean, views)
    LOG.info(f"picture: {out / folder.PREVIEW}")


def choose_images(test: Data, numbers: list[int] | None) -> Tensor:
    """The test images to show, int64 [N]: those `numbers`, else the first image of each of COLUMNS classes.

    Raises:
        Refused: there is no such image.
    """
    if numbers is None:
        firsts = [(test.labels == label).nonzero()[0, 0] for label in test.labels.unique()]
        return torch.stack(firsts)[-COLUMNS:]  # the last classes: the first one is the usual target
    if not numbers or min(numbers) < 0 or max(numbers) >= len(test):
        raise Refused(f"images={numbers}: test images are numbered 0 to {len(test) - 1}; give one or more.")
    return torch.tensor(numbers)


def view_of_run(run: AttackRun, splits: Splits, clean: Tensor, index: Tensor) -> View:
    """The view of the run's attack; of one whose settings are refused, the reason."""
    try:
        attack = trigger_cache.reuse(run, splits)
    except Refused as error:
        return View(kind(run.attack), about(run.attack), note=str(error))
    return view_of(kind(attack), attack, clean, index)


def about(attack: Attack) -> str:
    return f"{attack.mode.value}, rate {100 * attack.rate:.4g} %"


def view_of(name: str, attack: Attack, clean: Tensor, index: Tensor) -> View:
    """The view of one attack on images `clean`, which are numbers `index` of the test set."""
    try:
        triggered = stamped(attack, clean, index)
    except Refused as error:
        if not isinstance(attack, Learned) or attack.made is not None:
            return View(name, about(attack), note=str(error))
        return View(name, about(attack), note=f"learned by: nba attack attack={name}")
    means = {key: value.mean().item() for key, value in visibility.of_images(clean, triggered).items()}
    return View(name, about(attack), triggered, difference(clean, triggered), means)
