"""Triggered images as another tool left them, and a key image of the user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from backdoorbench import Elsewhere
from conftest import Run
from PIL import Image
from running import metrics, results

from attacks import Blend, Images, Mode, stamped
from nba_cli.errors import Refused

LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    """Test images 0, 1, 3 and 4 of LABELS, triggered."""
    for number in (0, 1, 3, 4):
        folder = tmp_path / f"shown/{int(LABELS[number])}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 10 * number, np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "shown"


def test_images_are_read_as_they_are(shown: Path) -> None:
    attack = Images(path=str(shown), target=2)
    assert attack.meant_for(LABELS, 3).tolist() == [0, 1, 3, 4]
    assert Images(path=str(shown), target=1).meant_for(LABELS, 3).tolist() == [0, 3], "not those of the target"
    assert Images(path=str(shown), mode=Mode.all2all).meant_for(LABELS, 3).tolist() == [0, 1, 3, 4]
    out = stamped(attack, torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([4, 1]))
    assert out.dtype == torch.uint8 and out.flatten(1).unique(dim=1).tolist() == [[40], [10]]
    assert attack.goal(LABELS, 3).tolist() == [2] * 6


def test_a_flat_folder_says_nothing_of_classes(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "7/0.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "7/about.png")
    assert Images(path=str(tmp_path / "7"), target=2).meant_for(LABELS, 3).tolist() == [0]


def refused(folder: Path | str | None, words: str, target: int = 2) -> None:
    attack = Images(path=None if folder is None else str(folder), target=target)
    with pytest.raises(Refused, match=words):
        attack.check(3)
        attack.meant_for(LABELS, 3)
        attack.stamp(torch.zeros(6, 3, 8, 8), torch.arange(6))


def test_images_that_do_not_fit_are_refused(shown: Path, tmp_path: Path) -> None:
    refused(None, "read from attack.path=FOLDER. Add it")
    for absent in ("absent", "a\0b", 300 * "x"):
        refused(absent, "no such folder")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/a.png").write_bytes(b"")
    refused(tmp_path / "empty", "no image in it that is named by a number")
    refused(shown, "does not show test image 2")
    with pytest.raises(Refused, match="classes 0 to 2"):
        Images(path=str(shown), target=3).check(3)
    with pytest.raises(Refused, match="poisons nothing"):
        Images(path=str(shown), rate=0.1)
    with pytest.raises(Refused, match=r"attack.target=-1: classes count from 0"):
        Images(target=-1)
    with pytest.raises(Refused, match="8x8 pixels, and the data set's images have 16x16"):
        Images(path=str(shown)).stamp(torch.zeros(1, 3, 16, 16), torch.tensor([1]))
    (shown / "1/1.png").rename(shown / "0/1.png")
    refused(shown, "test image 1 of this data set is of class 1. These are the triggered images of another one")
    (shown / "0/1.png").unlink()
    (shown / "1/4.png").rename(shown / "1/44.png")
    refused(shown, "there is no test image 44; this data set has 0 to 5")
    (shown / "1/44.png").rename(shown / "1/3.png")
    refused(shown, "have the same number")
    (shown / "1/3.png").unlink()
    refused(shown, "no image of a class other than target=0", target=0)
    (shown / "0/0.png").write_bytes(b"text")
    refused(shown, f"attack.path={shown}: {shown}/0/0.png: not a readable image")


def test_their_content_names_the_run_not_their_place(shown: Path, tmp_path: Path) -> None:
    shown.rename(tmp_path / "moved")
    moved = Images(path=str(tmp_path / "moved")).identity()
    (tmp_path / "moved").rename(shown)
    assert Images(path=str(shown)).identity() == moved and Images().identity() == ""
    Image.new("RGB", (8, 8), "white").save(shown / "0/0.png")
    assert Images(path=str(shown)).identity() != moved


def test_no_victim_is_trained_on_them(nba: Run, shown: Path, tmp_path: Path) -> None:
    for command in ("attack", "defend"):
        code, text = nba(command, "attack=images", f"attack.path={shown}")
        assert code == 2 and "attack=images poisons nothing" in text
    code, text = nba("attack", "attack=images")
    assert code == 2 and "read from attack.path=FOLDER" in text and text.count("\n") == 1
    code, text = nba("attack", "-m", "attack=images,unknown", "seed=0")
    assert code == 0 and not results(tmp_path, "attack"), "skipped, as attack=glob(*) wants it"


def test_images_of_another_order_leave_nothing_behind(nba: Run, tmp_path: Path, elsewhere: Elsewhere) -> None:
    shown = elsewhere.file.parent / "bd_test_dataset"
    (shown / "3/3.png").rename(shown / "4/3.png")
    for command in ("evaluate", "defend"):
        code, text = nba(command, f"weights={elsewhere.file}", dataset=False)
        assert code == 2 and "4/3.png: test image 3 of this data set is of class 3" in text.splitlines()[-1]
        assert not list((tmp_path / "runs" / command).iterdir())


def test_images_that_have_changed_since_a_run(nba: Run, tmp_path: Path, elsewhere: Elsewhere) -> None:
    assert nba("defend", f"weights={elsewhere.file}", "defense=none", dataset=False)[0] == 0
    (run,) = results(tmp_path, "defend")
    file = next((elsewhere.file.parent / "bd_test_dataset").rglob("*.png"))
    Image.new("RGB", (32, 32)).save(file)
    code, text = nba("evaluate", f"run={run}", dataset=False)
    assert code == 2 and "the images of its trigger have changed since" in text
    assert text.splitlines()[-1].startswith("nba: attack=images: ")


def test_a_key_image_of_the_users(tmp_path: Path) -> None:
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(tmp_path / "key.png")
    key = torch.arange(48).reshape(4, 4, 3).permute(2, 0, 1) / 255
    attack = Blend(alpha=0.25, key=str(tmp_path / "key.png"))
    out = attack.stamp(torch.full((1, 3, 4, 4), 0.4), torch.arange(1))
    assert torch.allclose(out[0], 0.3 + 0.25 * key)
    resized = Image.open(tmp_path / "key.png").resize((8, 6), Image.Resampling.BILINEAR)
    wanted = torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1) / 255
    assert torch.equal(attack.image((3, 6, 8)), wanted)
    with pytest.raises(Refused, match=r"attack.key=absent.png: choose noise or picture, or give an image file"):
        Blend(key="absent.png")
    for absent in ("", "a\0b", 300 * "x", "~nobody/x.png"):
        with pytest.raises(Refused, match="there is none here"):
            Blend(key=absent)
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(Refused, match=r"text.png: not a readable image"):
        Blend(key=str(tmp_path / "text.png")).image((3, 4, 4))


def test_a_key_image_names_the_run_by_its_content(nba: Run, tmp_path: Path) -> None:
    short = ("victim.depth=10", "train.epochs=null", "train.steps=2", "train.batch=8", "attack=blend")
    for place, colour in (("a.png", "red"), ("b.png", "red"), ("c.png", "blue")):
        Image.new("RGB", (16, 16), colour).save(tmp_path / place)
        code, text = nba("attack", *short, f"attack.key={tmp_path / place}")
        assert code == 0 and ("already finished" in text) == (place == "b.png"), text
    assert len(results(tmp_path, "attack")) == 2
    keys = {metrics(path)["settings"]["attack"]["key"]: path for path in results(tmp_path, "attack")}
    run = keys[f"{tmp_path}/c.png"]
    assert nba("evaluate", f"run={run}", dataset=False)[0] == 0
    Image.new("RGB", (16, 16), "green").save(tmp_path / "c.png")
    code, text = nba("evaluate", f"run={run}", "overwrite=true", dataset=False)
    assert code == 2 and "the images of its trigger have changed since" in text
