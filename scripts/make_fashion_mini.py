"""Draw the bundled data set from the original Fashion-MNIST files (Xiao et al. 2017, MIT licence).

    python scripts/make_fashion_mini.py FOLDER [OUT]

FOLDER holds train-images-idx3-ubyte.gz and its three siblings, as published at
https://github.com/zalandoresearch/fashion-mnist and in the Debian package dataset-fashion-mnist. OUT defaults to
nba_cli/data/fashion_mini.npz. 1,000 training and 200 test images a class, drawn by seed 0, in their original
order; grey, 28x28, Keras convention. The same input gives the same bytes.
"""

import gzip
import sys
from pathlib import Path

import numpy as np


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes: magic 0, 0, 8, rank; big-endian sizes; data."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\0\0\x08":
        sys.exit(f"{path}: not an IDX file of unsigned bytes")
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def stratified(labels: np.ndarray, per_class: int, random: np.random.Generator) -> np.ndarray:
    """Indices of `per_class` images of every class, ascending."""
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.sort(np.concatenate([random.choice(members, per_class, replace=False) for members in classes]))


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    default = Path(__file__).parents[1] / "nba_cli/data/fashion_mini.npz"
    out = Path(sys.argv[2]) if len(sys.argv) == 3 else default
    random = np.random.default_rng(0)
    arrays = {}
    for ours, theirs, per_class in (("train", "train", 1000), ("test", "t10k", 200)):
        images = read_idx(folder / f"{theirs}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{theirs}-labels-idx1-ubyte.gz")
        index = stratified(labels, per_class, random)
        arrays[f"x_{ours}"], arrays[f"y_{ours}"] = images[index], labels[index]
    np.savez_compressed(out, **arrays)
    print(f"wrote {out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
