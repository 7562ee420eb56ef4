"""Sets that lie in files."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest
import torch

from attacks import BadNets, WaNet, poison, poisoned_index
from nba_cli.data import Data
from nba_cli.data.mapped import Mapped, mapped

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def kept(tmp_path: Path) -> Mapped:
    """64 images of 64x64, three pages of memory each, in two classes."""
    pixels = torch.randint(0, 256, (64, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    (tmp_path / "train.uint8").write_bytes(pixels.numpy().tobytes())
    file = tmp_path / "train.uint8"
    return Mapped(mapped(file, pixels.shape), torch.arange(64) % 2, file)


def own(file: Path) -> int:
    """Bytes of this process's memory that mappings of `file` have for themselves: what has been written to them."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            inside = line.endswith(str(file))
        elif inside and first == "Anonymous:":
            found += 1024 * int(line.split()[1])
    return found


def test_a_mapped_set_is_the_set_in_memory(kept: Mapped) -> None:
    pixels = torch.frombuffer(bytearray(kept.file.read_bytes()), dtype=torch.uint8).view(64, 3, 64, 64)
    held = Data(pixels, kept.labels)
    assert torch.equal(kept.images, pixels) and kept.digest() == held.digest()
    some = torch.tensor([5, 63, 0])
    assert type(kept[some]) is Data and torch.equal(kept[some].images, pixels[some])
    assert torch.equal(kept.batch(some, torch.device("cpu"))[0], pixels[some])


@pytest.mark.parametrize("attack", [BadNets(rate=0.1), WaNet(rate=0.1)])
def test_poisoning_leaves_the_file_and_other_mappings_alone(kept: Mapped, attack: BadNets | WaNet) -> None:
    other = Mapped(mapped(kept.file, kept.images.shape), kept.labels, kept.file)
    before, content = kept.digest(), kept.file.read_bytes()
    if isinstance(attack, WaNet):
        attack = attack.with_trigger(attack.draw((3, 64, 64)))
    index = poisoned_index(attack, kept, 2, seed=0)
    poisoned = poison(attack, kept, index, 2, seed=0)
    held = Data(kept.images.clone(), kept.labels.clone())
    assert poisoned.digest() == poison(attack, held, index, 2, seed=0).digest() != before
    assert kept.digest() == other.digest() == before and kept.file.read_bytes() == content
    assert poisoned.copy().digest() == poisoned.digest(), "a copy of what was written holds what was written"


def test_a_copy_in_memory_is_one_too(tiny: Data) -> None:
    before, other = tiny.digest(), tiny.copy()
    other.images[0], other.labels[0] = 0, 2
    assert tiny.digest() == before != other.digest()


@LINUX
def test_poisoning_takes_memory_for_poisoned_images_alone(kept: Mapped) -> None:
    index = torch.tensor([3, 20, 21, 40])
    poisoned = poison(BadNets(), kept, index, 2, seed=0)
    kept.digest()
    poisoned.digest()
    image = 3 * 64 * 64
    assert 4 * image <= own(kept.file) <= 4 * (image + mmap.PAGESIZE)


@LINUX
@pytest.mark.skipif(
    sys.platform != "linux" or Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "2",
    reason="this machine reserves all memory that could be written",
)
def test_a_set_may_be_larger_than_memory(tmp_path: Path) -> None:
    """An empty file of that size, which takes no disk."""
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    memory = sum(1024 * int(rows[name].split()[0]) for name in ("MemTotal", "SwapTotal"))
    count = memory // (3 * 512 * 512) + 1000
    file = tmp_path / "train.uint8"
    with file.open("wb") as opened:
        opened.truncate(count * 3 * 512 * 512)
    kept = Mapped(mapped(file, [count, 3, 512, 512]), torch.zeros(count, dtype=torch.int64), file)
    other = kept.copy()
    other.images[count - 1] = 7
    assert not kept.images[count - 1].any() and (other.images[count - 1] == 7).all()
