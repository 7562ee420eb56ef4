"""Folders of images: what is in them, and the cache that they are read from."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import tiny_arrays
from PIL import Image
from rich.console import Console

from nba_cli import console, files
from nba_cli.data import Splits, base, folder, pixel_cache, tree
from nba_cli.data.folder import Folder
from nba_cli.errors import Refused


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three classes of PNGs, 12 + 6; two of 16x16, one of 20x20."""
    arrays = tiny_arrays(train=12, test=6)
    for part in ("train", "test"):
        for number, (pixels, label) in enumerate(zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True)):
            place = tmp_path / "set" / part / "abc"[label]
            place.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(pixels)
            (image.resize((20, 20)) if label == 2 else image).save(place / f"{number:02}.png")
    return tmp_path / "set"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The images that have been decoded."""
    seen: list[Path] = []
    true = folder.read_image

    def spy(file: Path, size: int) -> folder.Read:
        seen.append(file)
        return true(file, size)

    monkeypatch.setattr(folder, "read_image", spy)
    return seen


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose bytes have been read."""
    seen: list[Path] = []
    true = tree.read

    def spy(file: Path) -> bytes:
        seen.append(file)
        return true(file)

    monkeypatch.setattr(tree, "read", spy)
    return seen


def later(images: Path, size: int = 16) -> Folder:
    """The set as another process sees it, which has looked at nothing yet."""
    tree.source.cache_clear()
    files._file_digest.cache_clear()
    base.say_resized.cache_clear()
    return Folder(path=str(images), size=size)


def caches(dataset: Folder) -> list[Path]:
    """What the cache holds beside locks."""
    return [path for path in dataset.cache.glob("*") if path.suffix != ".lock"] if dataset.cache.is_dir() else []


def digests(splits: Splits) -> tuple[str, str]:
    return splits.train.digest(), splits.test.digest()


def test_classes_are_read_by_name_and_images_resized(images: Path) -> None:
    (images / "train/a/notes.txt").write_text("passed over")
    (images / "train/.hidden").mkdir()
    splits = Folder(path=str(images), size=16).load()
    arrays = tiny_arrays(train=12, test=6)
    assert splits.num_classes == 3 and splits.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert [splits.class_of(label) for label in range(3)] == ["a (0)", "b (1)", "c (2)"]
    assert torch.equal(splits.train.images[4].permute(1, 2, 0), torch.from_numpy(arrays["x_train"][1]))
    with Image.open(images / "train/c/02.png") as image:
        resized = np.array(image.resize((16, 16), Image.Resampling.BILINEAR))
    assert torch.equal(splits.train.images[8].permute(1, 2, 0), torch.from_numpy(resized))
    assert splits.test.images.shape == (6, 3, 16, 16) and splits.test.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_class_without_test_images_is_one_all_the_same(images: Path) -> None:
    shutil.rmtree(images / "test/b")
    splits = Folder(path=str(images), size=16).load()
    assert splits.num_classes == 3 and splits.test.labels.tolist() == [0, 0, 2, 2]


def test_clean_images_alone_are_divided(images: Path) -> None:
    (images / "train").rename(images / "clean")
    for splits in (later(images).load(), later(images).load()):
        assert splits.defender and len(splits.train) == 9 and splits.test.labels.tolist() == [0, 1, 2]
        assert splits.class_of(1) == "b (1)"


def test_the_content_names_a_folder(images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "copy")
    shutil.copytree(images, tmp_path / "other")
    (tmp_path / "other/train/a/00.png").write_bytes((images / "train/b/01.png").read_bytes())
    names = [Folder(path=str(path)).identity() for path in (images, tmp_path / "copy", tmp_path / "other")]
    assert names[0] == names[1] != names[2]
    sha = hashlib.sha256()  # names of runs that are finished: this must not change
    for file in [*sorted((images / "train").glob("*/*")), *sorted((images / "test").glob("*/*"))]:
        sha.update(f"{file.relative_to(images)} {file.stat().st_size} ".encode() + file.read_bytes())
    assert names[0] == sha.hexdigest()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda images: (images / "train/a/00.png").write_bytes(b"no image"), r"train/a/00.png: not a readable image"),
        (
            lambda images: (images / "test/b/01.png").write_bytes((images / "test/b/01.png").read_bytes()[:60]),
            "test/b/01.png: not",
        ),
        (lambda images: (images / "train/a/0.png").mkdir(), r"train/a/0.png: a folder, and it has to be a file"),
        (lambda images: [file.unlink() for file in (images / "train/b").iterdir()], "train/b: no image in it"),
        (lambda images: shutil.rmtree(images / "test"), "test: no such folder"),
        (lambda images: [shutil.rmtree(images / "train" / name) for name in "bc"], "one class only"),
        (lambda images: [shutil.rmtree(images / "train" / name) for name in "abc"], "no class folders"),
        (lambda images: (images / "test/a").rename(images / "test/zebra"), "zebra: there is no such class in train/"),
    ],
)
def test_a_bad_folder_is_refused_by_name(images: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(images)
    dataset = Folder(path=str(images), size=16)
    with pytest.raises(Refused, match=message):
        dataset.load()
    assert caches(dataset) == [], "nothing is left behind"


def test_images_are_decoded_once(images: Path, decoded: list[Path], read: list[Path]) -> None:
    first = later(images).load()
    assert len(decoded) == 18
    decoded.clear()
    read.clear()
    dataset = later(images)
    again = dataset.load()
    assert decoded == [] and read == [], "not even its bytes are read"
    assert again.num_classes == 3 and digests(again) == digests(first)
    assert torch.equal(again.train.images, first.train.images) and torch.equal(again.test.labels, first.test.labels)
    assert dataset.identity() == Folder(path=str(images)).identity()


def test_each_size_has_pixels_of_its_own(images: Path, decoded: list[Path], read: list[Path]) -> None:
    later(images).load()
    read.clear()
    assert later(images, 24).load().train.images.shape == (12, 3, 24, 24) and len(decoded) == 36
    assert len(read) == 18, "to decode them; their digest is known"
    later(images, 24).load()
    assert later(images).load().train.images.shape == (12, 3, 16, 16) and len(decoded) == 36


def test_an_image_that_changes_is_noticed(images: Path, decoded: list[Path]) -> None:
    before, first = later(images).identity(), later(images).load()
    (images / "train/a/00.png").write_bytes((images / "train/b/01.png").read_bytes())
    after, second = later(images).identity(), later(images).load()
    assert after != before and len(decoded) == 36
    assert torch.equal(second.train.images[0], first.train.images[4]) and second.test.digest() == first.test.digest()


def test_a_change_that_keeps_size_and_time_is_noticed(images: Path) -> None:
    """As archives do, which set the time of a file to that of its original."""
    for number in range(2):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(images / f"train/a/0{3 * number}.bmp")
    before, file = later(images).load(), images / "train/a/00.bmp"
    stat = file.stat()
    file.write_bytes((images / "train/a/03.bmp").read_bytes())
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert later(images).load().train.digest() != before.train.digest()


def test_an_image_that_was_only_touched_is_read_and_not_decoded(
    images: Path, decoded: list[Path], read: list[Path]
) -> None:
    before, first = later(images).identity(), digests(later(images).load())
    (images / "train/a/00.png").touch()
    decoded.clear()
    read.clear()
    dataset = later(images)
    assert dataset.identity() == before and len(read) == 18
    assert digests(dataset.load()) == first and decoded == []
    read.clear()
    assert digests(later(images).load()) == first and read == [], "the new time is known from then on"


def test_a_copy_of_a_folder_shares_its_pixels(images: Path, tmp_path: Path, decoded: list[Path]) -> None:
    later(images).load()
    shutil.copytree(images, tmp_path / "copy")
    later(tmp_path / "copy").load()
    assert len(decoded) == 18


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda place: os.truncate(place / "train.uint8", 4000), "train.uint8 has the wrong size"),
        (lambda place: flip_a_bit(place / "test.uint8"), "test.uint8 does not have the digest that about.json says"),
        (lambda place: (place / "train.uint8").unlink(), "a file is missing or damaged"),
        (lambda place: (place / "about.json").unlink(), "a file is missing or damaged"),
        (lambda place: (place / "about.json").write_text("{}"), "a file is missing or damaged"),
        (lambda place: os.truncate(place / "about.json", 40), "a file is missing or damaged"),
    ],
)
def test_a_damaged_cache_is_made_again(
    images: Path,
    decoded: list[Path],
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    words: str,
) -> None:
    console.setup()
    first = digests(later(images).load())
    dataset = later(images)
    (place,) = [path for path in caches(dataset) if path.is_dir()]
    spoil(place)
    capfd.readouterr()
    assert digests(dataset.load()) == first and len(decoded) == 36
    lines = capfd.readouterr().out.splitlines()
    assert [line for line in lines if words in line and "decoded again" in line] == [lines[0]]
    assert digests(later(images).load()) == first and len(decoded) == 36
    assert len(caches(dataset)) == 2, "nothing is left beside it"


def test_a_damaged_record_of_a_folder_is_made_again(images: Path, decoded: list[Path], read: list[Path]) -> None:
    dataset = later(images)
    before, first = dataset.identity(), digests(dataset.load())
    (record,) = dataset.cache.glob("*.json")
    kept = record.read_text()
    for text in ("", "[]", "{}"):
        record.write_text(text)
        read.clear()
        assert later(images).identity() == before and len(read) == 18
        assert digests(later(images).load()) == first and record.read_text() == kept
    assert len(decoded) == 18


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("what", "error"), [(stop, KeyboardInterrupt), (full, Refused)])
def test_an_interrupted_decoding_leaves_nothing(
    images: Path, monkeypatch: pytest.MonkeyPatch, what: Callable[..., None], error: type[BaseException]
) -> None:
    dataset, true, written = later(images), pixel_cache.write_pixels, []

    def second_fails(file: Path, pixels: object) -> str:
        written.append(file.name)
        if len(written) == 2:
            file.write_bytes(b"a part of it")
            what()
        return true(file, pixels)  # type: ignore[arg-type]

    monkeypatch.setattr(pixel_cache, "write_pixels", second_fails)
    with pytest.raises(error) as caught:
        dataset.load()
    assert written == ["train.uint8", "test.uint8"] and caches(dataset) == []
    if error is Refused:
        said = f"{dataset.cache}: the decoded images cannot be kept there (No space left on device). Set dataset.root="
        assert said in str(caught.value)
    assert len(later(images).load().train) == 12


def test_what_a_killed_process_left_is_in_nobodys_way(images: Path) -> None:
    dataset = later(images)
    first = digests(dataset.load())
    (place,) = [path for path in caches(dataset) if path.is_dir()]
    place.rename(place.with_name(place.name + ".part"))
    (place.with_name(place.name + ".part") / "train.uint8").write_bytes(b"a part of it")
    assert digests(later(images).load()) == first and len(caches(dataset)) == 2


def test_a_root_that_cannot_be_written_is_refused(images: Path, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    with pytest.raises(Refused, match=r"root/cache: the decoded images cannot be kept .* Set dataset.root=FOLDER"):
        Folder(path=str(images), size=16, root=str(tmp_path / "root")).load()


def test_images_that_change_while_they_are_read_are_refused(images: Path) -> None:
    """Else pixels would lie under the digest of other images for good."""
    dataset = later(images)
    dataset.identity()
    (images / "train/a/00.png").write_bytes((images / "train/b/01.png").read_bytes())
    with pytest.raises(Refused, match=r"set: its images have changed while they were read\. Run the same command"):
        dataset.load()
    assert caches(dataset) == []
    assert later(images).load().train.digest()


def test_two_jobs_decode_once(images: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find no cache; the one that has the lock goes on when the other waits for it."""
    console.setup()
    dataset, both, waits = later(images), threading.Barrier(2), threading.Event()
    true_fault, true_build, looked, found = pixel_cache.fault, pixel_cache.fill, threading.local(), []

    def fault(place: Path) -> str | None:
        why = true_fault(place)
        if not hasattr(looked, "once"):
            looked.once = True
            both.wait(20)
        return why

    def fill(place: Path, build: Callable[[Path], pixel_cache.About]) -> None:
        waits.wait(20)
        true_build(place, build)

    monkeypatch.setattr(pixel_cache, "fault", fault)
    monkeypatch.setattr(pixel_cache, "fill", fill)
    monkeypatch.setattr(pixel_cache.LOG, "info", lambda line, **_: waits.set() if "waiting: another" in line else None)
    jobs = [threading.Thread(target=lambda: found.append(digests(dataset.load()))) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert waits.is_set() and len(decoded) == 18 and len(found) == 2 and found[0] == found[1]


def test_decoding_is_a_line_on_plain_output(images: Path, capfd: pytest.CaptureFixture[str]) -> None:
    console.setup()
    dataset = later(images)
    dataset.load()
    said = f"decoding 18 images of {images}, once: 0 MB in {dataset.cache}"
    assert capfd.readouterr().out.splitlines()[:-1] == [said]


def test_a_resized_set_says_so_in_every_process(images: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Decoded anew or not: who forgets dataset.size trains on images that are not what lies in the folder."""
    console.setup()
    said = "images of 16x16 and 1 other size become 16x16 (dataset.size)"
    for first in (True, False):
        dataset = later(images)
        dataset.load()
        assert Folder(path=str(images), size=16).load()
        lines = capfd.readouterr().out.splitlines()
        assert lines[first:] == [said], "once"
    for file in images.glob("*/c/*"):
        file.unlink()
        Image.new("RGB", (16, 16)).save(file)
    for size, lines in ((16, []), (8, ["16x16 images become 8x8 (dataset.size)"])):
        later(images, size).load()
        assert capfd.readouterr().out.splitlines()[1:] == lines


def test_val_takes_the_place_of_test(images: Path) -> None:
    """Imagenette unpacks to train/<wnid>/*.JPEG and val/<wnid>/*.JPEG."""
    wanted = digests(later(images).load())
    for file in images.glob("*/*/*.png"):
        file.rename(file.with_suffix(".JPEG"))  # what is in it counts
    (images / "test").rename(images / "val")
    splits = later(images).load()
    assert digests(splits) == wanted and splits.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    shutil.copytree(images / "train", images / "test")
    assert len(later(images).load().test) == 12, "where there is a test set, it is taken"


def test_a_folder_needs_a_size() -> None:
    with pytest.raises(Refused, match=r"dataset.size=null: files may come in many sizes"):
        Folder(path="x", size=None)


def test_decoding_is_a_bar_on_a_terminal(images: Path, terminal: Console) -> None:
    later(images).load()
    *_, last, _ = terminal.export_text().splitlines()
    assert last.startswith("decoding") and "18/18" in last and "left 0:00:00" in last


def test_the_cache_says_what_it_holds(images: Path) -> None:
    dataset = later(images)
    dataset.load()
    (place,) = [path for path in caches(dataset) if path.is_dir()]
    about = json.loads((place / "about.json").read_text())
    assert about.pop("seal") == files.seal(about)
    assert about == {
        "source": dataset.identity(),
        "classes": ["a", "b", "c"],
        "shape": [3, 16, 16],
        "counts": {"train": [4, 4, 4], "test": [2, 2, 2]},
        "pixels": {split: files.file_digest(place / f"{split}.uint8") for split in ("train", "test")},
        "came": "images of 16x16 and 1 other size",
    }
    (record,) = dataset.cache.glob("set-*.json")
    assert json.loads(record.read_text())["folder"] == str(images), "so that one knows which set it is"


def test_grey_images_of_16_bits_keep_their_upper_eight(images: Path) -> None:
    """Pillow's own conversion clips at 255, which makes almost all of such an image white."""
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(ramp).save(images / "train/a/00.png")
    grey = Folder(path=str(images), size=16).load().train.images[0]
    assert torch.equal(grey, torch.arange(256, dtype=torch.uint8).reshape(16, 16).expand(3, -1, -1))


def test_a_link_that_leads_nowhere_and_a_folder_that_may_not_be_read_are_refused(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = images / "train/a/link.png"
    link.symlink_to("/nonexistent.png")
    with pytest.raises(Refused, match=r"link\.png: cannot be read \(No such file"):
        later(images).identity()
    link.unlink()

    def forbidden(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(Refused, match=r"train: cannot be read \(Permission denied\)"):
        later(images).identity()


def test_a_file_name_need_not_be_text(images: Path) -> None:
    before = later(images).identity()
    os.rename(images / "train/a/00.png", os.fsencode(images / "train/a") + b"/caf\xe9.png")
    assert later(images).identity() != before
    assert len(later(images).load().train) == 12
