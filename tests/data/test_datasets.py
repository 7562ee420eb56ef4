"""Every data set: files, downloads, folders, and what is wrong with them."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import runpy
import struct
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import filelock
import numpy as np
import pytest
import torch
from builders import tiny_arrays
from PIL import Image
from torchvision.datasets import CIFAR10

from nba_cli.data import DATASETS
from nba_cli.data.fashion_mini import FashionMini
from nba_cli.data.npz import Npz, read_npz
from nba_cli.data.torchvision import Cifar10, Cifar100, FashionMnist, Gtsrb, Svhn, TorchvisionSet
from nba_cli.errors import Refused

ROOT = Path(__file__).parents[2]


def test_fashion_mini_is_stratified_and_padded() -> None:
    splits = FashionMini().load()
    assert splits.num_classes == 10
    assert splits.train.images.shape == (10000, 3, 32, 32) and splits.test.images.shape == (2000, 3, 32, 32)
    assert splits.train.labels.bincount().tolist() == [1000] * 10
    assert splits.test.labels.bincount().tolist() == [200] * 10
    border = splits.train.images.clone()
    border[:, :, 2:-2, 2:-2] = 0
    assert not border.any() and splits.train.images.float().mean() > 40
    assert torch.equal(splits.train.images[:, 0], splits.train.images[:, 2]), "grey"


def test_the_bundled_file_is_small() -> None:
    assert (ROOT / "nba_cli/data/fashion_mini.npz").stat().st_size < 7e6


def test_the_script_draws_a_stratified_set_from_idx_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part, count in (("train", 10050), ("t10k", 2040)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = np.repeat(labels[:, None, None], 28, 1).repeat(28, 2)
        head = struct.pack(">4BI", 0, 0, 8, 1, count)
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels.tobytes(), 1))
        head = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes(), 1))
    out = tmp_path / "mini.npz"
    monkeypatch.setattr("sys.argv", ["make_fashion_mini.py", str(tmp_path), str(out)])
    runpy.run_path(str(ROOT / "scripts/make_fashion_mini.py"), run_name="__main__")
    splits = read_npz(out)
    assert splits.train.labels.bincount().tolist() == [1000] * 10
    assert torch.equal(splits.train.images[:, 0, 0, 0].long(), splits.train.labels), "labels stay with their images"


def test_npz_round_trip(tiny_file: Path) -> None:
    arrays, splits = tiny_arrays(), Npz(path=str(tiny_file)).load()
    assert torch.equal(splits.train.images[5, 2], torch.from_numpy(arrays["x_train"][5, :, :, 2]))
    assert splits.test.labels.tolist() == arrays["y_test"].tolist() and splits.num_classes == 3


def test_reserved_images_leave_the_training_set_and_take_the_place_of_the_test_set(tiny_file: Path) -> None:
    whole, splits = Npz(path=str(tiny_file)).load(), Npz(path=str(tiny_file), reserved=30).load()
    assert splits.train.labels.bincount().tolist() == [70] * 3 and splits.test.labels.bincount().tolist() == [10] * 3
    pixels = [[image.numpy().tobytes() for image in data.images] for data in (splits.train, splits.test, whole.train)]
    assert sorted(pixels[0] + pixels[1]) == sorted(pixels[2]), "each is in one of them"
    assert Npz(path=str(tiny_file), reserved=30, clean_seed=5).load().test.digest() == splits.test.digest()


def test_images_that_are_not_there_are_not_reserved(tiny_file: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"dataset.reserved=240: .* there are 240 of them"):
        Npz(path=str(tiny_file), reserved=240).load()
    with pytest.raises(Refused, match=r"dataset.reserved=-1: a number of images is 0 or more"):
        Npz(path=str(tiny_file), reserved=-1)
    arrays = {key.replace("train", "clean"): value for key, value in tiny_arrays().items() if "train" in key}
    np.savez(tmp_path / "clean.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"dataset.reserved=3: .* there are clean images only"):
        Npz(path=str(tmp_path / "clean.npz"), reserved=3).load()


def test_which_clean_images_are_held_out_is_drawn_by_the_clean_seed(tmp_path: Path) -> None:
    arrays = {key.replace("train", "clean"): value for key, value in tiny_arrays().items() if "train" in key}
    np.savez(tmp_path / "clean.npz", **arrays)  # type: ignore[arg-type]
    held = [Npz(path=str(tmp_path / "clean.npz"), clean_seed=seed).load().test.digest() for seed in (0, 0, 1)]
    assert held[0] == held[1] != held[2]


def test_npz_takes_grey_images_and_column_labels(tmp_path: Path) -> None:
    arrays = tiny_arrays()
    arrays = {key: value[..., 0] if key[0] == "x" else value[:, None] for key, value in arrays.items()}
    np.savez(tmp_path / "grey.npz", **arrays)  # type: ignore[arg-type]
    assert Npz(path="grey.npz", root=str(tmp_path)).load().train.images.shape == (240, 3, 16, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, "array y_test is missing; found"),
        ({"x_train": np.zeros((240, 16, 16, 3), np.float32)}, "images are float32; they must be uint8"),
        ({"x_train": np.zeros((240, 16), np.uint8)}, r"images have shape \[240, 16\]"),
        ({"x_train": np.zeros((3, 16, 16, 3), np.uint8)}, "3 images but 240 labels"),
        ({"y_train": np.zeros(240)}, "labels are float64"),
        ({"y_train": np.full(240, -1)}, "label -1 is negative"),
        ({"y_train": np.full(240, 2**40)}, "label 1,099,511,627,776 among 240 images"),
        ({"y_train": np.full(240, 2**64 - 1, np.uint64)}, "label 18446744073709551615 is no number of a class"),
        ({"y_test": np.full(90, 2**63, np.uint64)}, "label 9223372036854775808 is no number of a class"),
        ({"y_train": np.zeros(240, int)}, "needs two classes"),
        ({"y_test": np.full(90, 7)}, r"test label 7 is outside the training classes 0..2"),
        ({"x_test": np.zeros((90, 8, 8, 3), np.uint8)}, "test images"),
        ({"x_test": np.zeros((0, 16, 16, 3), np.uint8), "y_test": np.zeros(0, int)}, "no image"),
    ],
)
def test_a_bad_npz_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    arrays = {key: value for key, value in (tiny_arrays() | change).items() if value is not None}
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(Refused, match=message):
        read_npz(tmp_path / "bad.npz")


def test_a_damaged_npz_is_refused(tmp_path: Path, tiny_file: Path) -> None:
    raw = tiny_file.read_bytes()
    for name, content in (
        ("cut", raw[: len(raw) // 2]),
        ("text", b"not an archive"),
        ("flipped", raw[:9000] + b"!" + raw[9001:]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Refused, match="not a readable"):
            read_npz(tmp_path / name)
    with pytest.raises(Refused, match="no such file"):
        read_npz(tmp_path / "absent.npz")


def test_a_compressed_npz_with_a_flipped_byte_never_escapes(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "good.npz", **tiny_arrays(train=30, test=12))  # type: ignore[arg-type]
    raw = bytearray((tmp_path / "good.npz").read_bytes())
    refused = 0
    for place in range(0, len(raw), len(raw) // 150):
        spoilt = raw.copy()
        spoilt[place] ^= 0xFF
        (tmp_path / "bad.npz").write_bytes(spoilt)
        try:
            read_npz(tmp_path / "bad.npz")  # some bytes of a zip archive mean nothing
        except Refused:
            refused += 1
    assert refused > 100


def serve(folder: Path) -> ThreadingHTTPServer:
    """A web server for `folder` on the loopback interface."""

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_cifar10_is_downloaded_once_with_a_progress_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """torchvision's own download, against an archive of the published layout on a server of ours."""
    random, site, root = np.random.default_rng(0), tmp_path / "site", tmp_path / "root"
    base = site / "cifar-10-batches-py"
    base.mkdir(parents=True)
    md5 = lambda path: hashlib.md5(path.read_bytes()).hexdigest()  # noqa: E731
    contents = {}
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        contents[name] = random.integers(0, 256, (20, 3072), dtype=np.uint8)
        (base / name).write_bytes(pickle.dumps({"data": contents[name], "labels": [n % 10 for n in range(20)]}))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(n) for n in range(10)]}))
    with tarfile.open(site / "cifar.tar.gz", "w:gz") as tar:
        tar.add(base, base.name)
    server = serve(site)
    for field, value in {
        "url": f"http://127.0.0.1:{server.server_port}/cifar.tar.gz",
        "filename": "cifar.tar.gz",
        "tgz_md5": md5(site / "cifar.tar.gz"),
        "train_list": [[f"data_batch_{n}", md5(base / f"data_batch_{n}")] for n in range(1, 6)],
        "test_list": [["test_batch", md5(base / "test_batch")]],
        "meta": {"filename": "batches.meta", "key": "label_names", "md5": md5(base / "batches.meta")},
    }.items():
        monkeypatch.setattr(CIFAR10, field, value)
    try:
        splits = Cifar10(root=str(root)).load()
    finally:
        server.shutdown()
        server.server_close()
    assert "100" in capfd.readouterr().err, "a progress bar"
    assert splits.num_classes == 10 and len(splits.train) == 100 and len(splits.test) == 20
    wanted = torch.from_numpy(contents["data_batch_2"][3]).reshape(3, 32, 32)
    assert torch.equal(splits.train.images[23], wanted)
    assert Cifar10(root=str(root)).load().train.digest() == splits.train.digest(), "nothing is fetched again"


def test_cifar10_that_cannot_be_downloaded_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", offline)
    with pytest.raises(Refused, match=r"downloaded \(Network is unreachable\). Set dataset.root or \$NBA_DATA"):
        Cifar10(root=str(tmp_path)).load()


def test_root_is_the_option_then_the_environment_then_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBA_DATA", "/elsewhere")
    assert str(Cifar10(root="/here").folder) == "/here" and str(Cifar10().folder) == "/elsewhere"
    monkeypatch.delenv("NBA_DATA")
    assert Cifar10().folder == Path("~/.cache/nba").expanduser()


@pytest.mark.parametrize("dataset", [Cifar10, Cifar100, FashionMnist, Gtsrb, Svhn])
def test_an_archive_comes_before_any_download_and_is_checked(
    dataset: type[TorchvisionSet], tmp_path: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"{dataset.name}.npz"
    np.savez(file, **tiny_arrays(train=200, classes=dataset.num_classes, side=32))  # type: ignore[arg-type]
    with pytest.raises(Refused, match=f"dataset={dataset.name}: .*npz: not it: 200 [+] 90 images"):
        dataset(root=str(tmp_path)).load()
    monkeypatch.setattr(dataset, "sizes", (200, 90))
    splits = dataset(root=str(tmp_path)).load()
    assert splits.num_classes == dataset.num_classes and splits.train.images.shape == (200, 3, 32, 32)
    file.write_bytes(tiny_file.read_bytes())
    with pytest.raises(Refused, match=f"dataset={dataset.name}: .*npz: not it: 240 "):
        dataset(root=str(tmp_path)).load()


@pytest.mark.parametrize("dataset", [Cifar10, Cifar100, FashionMnist, Gtsrb, Svhn])
def test_every_library_set_asks_torchvision_for_both_splits(
    dataset: type[TorchvisionSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attributes and arguments as torchvision has them, on images of ours; orientation and labels survive."""
    asked: list[object] = []

    class Fake:
        def __init__(
            self, root: str, train: bool | None = None, split: str | None = None, download: bool = False
        ) -> None:
            assert root == str(tmp_path) and download
            asked.append(split if train is None else train)
            pixels = np.zeros((dataset.num_classes, 32, 32, 3), np.uint8)
            pixels[:, 0, :] = 200  # the top row
            labels = list(range(dataset.num_classes))
            self.samples = [
                (Image.fromarray(one).resize((50, 50), Image.Resampling.NEAREST), n) for n, one in enumerate(pixels)
            ]
            self.data, self.targets, self.labels = pixels, labels, np.array(labels)
            if dataset is Svhn:
                self.data = pixels.transpose(0, 3, 1, 2)
            if dataset is FashionMnist:
                self.data, self.targets = torch.from_numpy(pixels[:, 2:-2, 2:-2, 0]), torch.tensor(labels)
                self.data[:, 0] = 200

        def __iter__(self) -> Iterator[tuple[Image.Image, int]]:
            return iter(self.samples)

    for name in ("CIFAR10", "CIFAR100", "FashionMNIST", "SVHN", "GTSRB"):
        monkeypatch.setattr(f"torchvision.datasets.{name}", Fake)
    splits = dataset(root=str(tmp_path)).load()
    assert asked == ([True, False] if dataset in (Cifar10, Cifar100, FashionMnist) else ["train", "test"])
    assert splits.train.images.shape == (dataset.num_classes, 3, 32, 32)
    assert splits.train.labels.tolist() == list(range(dataset.num_classes))
    top = 2 if dataset is FashionMnist else 0
    assert (splits.train.images[:, :, top, 4:28] > 100).all() and not splits.train.images[:, :, 16].any()
    kept = tmp_path / f"{dataset.name}.npz"
    assert kept.is_file() == (dataset is Gtsrb), "what is slow to decode is kept"
    if kept.is_file():
        monkeypatch.setattr(dataset, "sizes", (dataset.num_classes,) * 2)
        again = dataset(root=str(tmp_path)).load()
        assert len(asked) == 2 and again.train.digest() == splits.train.digest()


def test_what_is_slow_to_decode_is_decoded_by_one_of_the_jobs_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bool] = []

    def fetch(self: Gtsrb, train: bool) -> tuple[np.ndarray, np.ndarray]:
        decoded.append(train)
        time.sleep(0.1)
        return np.zeros((43, 32, 32, 3), np.uint8), np.arange(43)

    monkeypatch.setattr(Gtsrb, "fetch", fetch)
    monkeypatch.setattr(Gtsrb, "sizes", (43, 43))
    jobs = [threading.Thread(target=Gtsrb(root=str(tmp_path)).load) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert decoded == [True, False]


def test_flip_is_off_where_it_changes_the_meaning() -> None:
    assert {name for name, cls in DATASETS.items() if cls.__dataclass_fields__["flip"].default} == {
        "fashion_mini", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet"}  # fmt: skip


def test_svhn_without_scipy_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*args: object, **kwargs: object) -> None:
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setattr("torchvision.datasets.SVHN", without)
    with pytest.raises(Refused, match="pip install scipy"):
        Svhn(root=str(tmp_path)).load()


def test_labels_that_begin_at_1_are_refused(tmp_path: Path) -> None:
    """They would make a class 0 that has no image, the default target of every attack."""
    arrays = tiny_arrays()
    shifted = {name: value + 1 if name[0] == "y" else value for name, value in arrays.items()}
    np.savez(tmp_path / "one.npz", **shifted)  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"one\.npz: training labels run from 1 to 3; classes count from 0\."):
        Npz(path=str(tmp_path / "one.npz")).load()


def test_a_job_that_waits_for_a_download_of_another_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, said = filelock.FileLock(tmp_path / ".cifar10.lock"), list[str]()

    def info(line: str) -> None:
        said.append(line)
        lock.release()

    monkeypatch.setattr(Cifar10, "fetch", lambda self, train: (np.zeros((2, 32, 32, 3), np.uint8), np.arange(2)))
    monkeypatch.setattr("nba_cli.data.torchvision.LOG.info", info)
    for expected in ([], ["waiting: another process fetches cifar10"]):
        if expected:
            lock.acquire()
        assert len(Cifar10(root=str(tmp_path)).fetched(tmp_path / "none.npz").train) == 2 and said == expected
