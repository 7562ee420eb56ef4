"""`nba preview`: the sheet, the numbers, and the picture in the terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rich
import torch
from conftest import Run
from PIL import Image
from rich.console import Console

from attacks import ATTACKS, BadNets
from nba_cli.data import Data
from nba_cli.errors import Refused
from nba_cli.pipeline import preview, preview_sheet
from nba_cli.pipeline.preview_sheet import GAP, LABEL, PAD
from nba_cli.runs import folder


def test_preview_shows_every_trigger_without_training(nba: Run, tmp_path: Path) -> None:
    code, text = nba("preview", "victim.depth=10", "train.epochs=1")
    assert code == 0
    lines = {line.split()[0]: line for line in text.splitlines() if line.split() and line.split()[0] in ATTACKS}
    assert set(lines) == set(ATTACKS) - {"none", "unknown", "images"}
    waiting = {name for name in ATTACKS if f"{name}: learned by: nba attack attack={name}" in text}
    assert waiting == {"trojan", "refool", "inputaware", "lookalike"}
    assert "all2one, rate 10 %" in lines["badnets"] and "clean_label, rate 80 %" in lines["sig"]
    assert not (tmp_path / "runs/attack").exists() and not (tmp_path / "runs/trigger").exists(), "nothing was trained"
    (picture,) = (tmp_path / "runs/preview").glob("npz-all-*/preview.png")
    with Image.open(picture) as sheet_of_all:
        before = sheet_of_all.size
    assert nba("attack", "attack=trojan", "attack.steps=2", "victim.depth=10", "train.epochs=1")[0] == 0
    code, text = nba("preview", "attack=trojan", "attack.steps=2", "victim.depth=10", "train.epochs=1")
    assert code == 0 and "learned by" not in text and "all2one" in text
    assert before[0] > 400 and before[1] > 8 * 64


def test_a_trigger_that_does_not_fit_says_why(nba: Run) -> None:
    code, text = nba("preview", "attack=badnets", "attack.size=40")
    text = " ".join(text.split())  # the note wraps
    assert code == 2 and "attack.size=40" in text and "16x16" in text and "learned by" not in text


def test_the_sheet_holds_the_triggered_images_pixel_by_pixel(tiny: Data, tmp_path: Path) -> None:
    index = preview.choose_images(tiny, [4, 7])
    clean = tiny.images[index]
    view = preview.view_of("badnets", BadNets(), clean, index)
    preview_sheet.save(clean, [view], tmp_path / "preview.png")
    with Image.open(tmp_path / "preview.png") as image:
        pixels = np.asarray(image)
    side, left = 16 * 6, PAD + LABEL
    tile = pixels[PAD : PAD + side, left : left + side]
    assert np.array_equal(tile, clean[0].permute(1, 2, 0).numpy().repeat(6, 0).repeat(6, 1))
    top = side + 2 * PAD + PAD
    tile = pixels[top : top + side, left + side + GAP : left + 2 * side + GAP]
    assert view.triggered is not None
    assert np.array_equal(tile, view.triggered[1].permute(1, 2, 0).numpy().repeat(6, 0).repeat(6, 1))
    below = pixels[top + side + GAP : top + 2 * side + GAP, left + side + GAP : left + 2 * side + GAP]
    assert view.difference is not None
    assert np.array_equal(below, view.difference.images[1].permute(1, 2, 0).numpy().repeat(6, 0).repeat(6, 1))


def test_images_are_chosen_by_number_or_one_per_class(nba: Run, tiny: Data) -> None:
    assert preview.choose_images(tiny, None).tolist() == [0, 1, 2]
    assert preview.choose_images(tiny, [5, 5]).tolist() == [5, 5]
    for bad in ("[90]", "[-1]", "[]"):
        code, text = nba("preview", f"images={bad}")
        assert code == 2 and "numbered 0 to 89" in text


def test_a_terminal_shows_half_blocks_in_true_colour(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(force_terminal=True, color_system="truecolor", width=100, record=True)
    monkeypatch.setattr(rich, "_console", console)
    index = torch.tensor([1])
    preview_sheet.show(tiny.images[index], [preview.view_of("badnets", BadNets(), tiny.images[index], index)])
    text = console.export_text(styles=True)
    assert "clean, triggered, change x1" in text and "% of pixels" in text
    assert text.count("▀") == 8 * 3 * (16 + 2), "two pixels a character"
    red, green, blue = tiny.images[1, :, 0, 0].tolist()
    assert f"38;2;{red};{green};{blue};" in text
    plain = Console(width=100, record=True)
    monkeypatch.setattr(rich, "_console", plain)
    preview_sheet.show(tiny.images[index], [preview.view_of("badnets", BadNets(), tiny.images[index], index)])
    text = plain.export_text()
    assert "▀" not in text and "badnets" in text


def test_a_preview_that_is_refused_later_leaves_the_finished_one(nba: Run, tmp_path: Path) -> None:
    given = ("preview", "attack=badnets", "victim.depth=10")
    assert nba(*given)[0] == 0
    (picture,) = (tmp_path / "runs/preview").glob("*/preview.png")

    def refuse() -> None:
        raise Refused("the cache cannot be written")

    with pytest.raises(Refused):
        folder.once(picture.parent, str(tmp_path / "runs"), refuse)
    assert picture.is_file()
