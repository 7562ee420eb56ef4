"""Data sets, the defender's share, and augmentation."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import runpy
import struct
import tarfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_arrays
from torchvision.datasets import CIFAR10

from nba_cli.data import Augment, Data, clean_share, to_float
from nba_cli.data.sets import Cifar10, FashionMini, Npz, read_npz
from nba_cli.errors import Refused

ROOT = Path(__file__).parents[1]


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


def test_cifar10_prefers_the_archive_and_checks_it(tmp_path: Path, tiny_file: Path) -> None:
    np.savez(tmp_path / "cifar10.npz", **tiny_arrays(classes=10, side=32))  # type: ignore[arg-type]
    assert Cifar10(root=str(tmp_path)).load().train.images.shape == (240, 3, 32, 32)
    (tmp_path / "cifar10.npz").write_bytes(tiny_file.read_bytes())
    with pytest.raises(Refused, match="not CIFAR-10"):
        Cifar10(root=str(tmp_path)).load()


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
    with pytest.raises(Refused, match=r"nor downloaded \(Network is unreachable\). Set dataset.root or \$NBA_DATA"):
        Cifar10(root=str(tmp_path)).load()


def test_root_is_the_option_then_the_environment_then_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBA_DATA", "/elsewhere")
    assert str(Cifar10(root="/here").folder) == "/here" and str(Cifar10().folder) == "/elsewhere"
    monkeypatch.delenv("NBA_DATA")
    assert Cifar10().folder == Path("~/.cache/nba").expanduser()


def test_clean_share_is_stratified_seeded_and_from_the_training_set(tiny: Data) -> None:
    share = clean_share(tiny, 0.1, seed=0)
    assert share.labels.bincount().tolist() == [8, 8, 8]
    originals = {image.numpy().tobytes() for image in tiny.images}
    assert all(image.numpy().tobytes() in originals for image in share.images)
    assert share.digest() == clean_share(tiny, 0.1, seed=0).digest() != clean_share(tiny, 0.1, seed=1).digest()
    assert len(clean_share(tiny, 1e-6, seed=0)) == 3, "one of each class at least"


def test_digest_sees_pixels_labels_and_shape(tiny: Data) -> None:
    images, labels = tiny.images.clone(), tiny.labels.clone()
    images[0, 0, 0, 0] += 1
    labels[0] = 2
    views = [
        tiny,
        Data(images, tiny.labels),
        Data(tiny.images, labels),
        Data(tiny.images.reshape(240, 3, 8, 32), tiny.labels),
    ]
    assert len({data.digest() for data in views}) == 4


def test_data_checks_types() -> None:
    with pytest.raises(ValueError, match="uint8"):
        Data(torch.zeros(1, 3, 4, 4), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(ValueError, match="labels must be int64"):
        Data(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))


def test_augment_makes_exactly_the_crops_and_flips_that_exist() -> None:
    image = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(1, 3, 4, 5)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))[0]
    legal = {}
    for top in range(3):
        for left in range(3):
            crop = padded[:, top : top + 4, left : left + 5]
            legal[crop.numpy().tobytes()] = (top, left, False)
            legal[crop.flip(2).numpy().tobytes()] = (top, left, True)
    out = Augment(crop=1, flip=True)(image.expand(400, -1, -1, -1), torch.Generator().manual_seed(0))
    assert out.dtype == torch.float32 and out.min() >= 0 and out.max() <= 1
    assert out.is_contiguous(memory_format=torch.channels_last)
    seen = {legal[(one * 255).round().to(torch.uint8).contiguous().numpy().tobytes()] for one in out}
    assert len(seen) == 18, "each image draws its own offset and flip"


def test_augment_without_flip_never_mirrors() -> None:
    image = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    image[..., 0] = 255
    out = Augment(crop=0, flip=False)(image.expand(50, -1, -1, -1), torch.Generator())
    assert torch.equal(out, to_float(image).expand_as(out))
    assert Augment(crop=0, flip=True)(image.expand(50, -1, -1, -1), torch.Generator())[..., 2].any()
