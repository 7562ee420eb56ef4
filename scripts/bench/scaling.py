"""How cost grows: with images, their side, the batch, jobs of a sweep, finished runs. Nothing may outgrow its input.

    python -m scripts.bench.scaling [--file scaling.json] [--plot scaling.png]

Prints for every series the exponent e of cost ~ size^e between its last two sizes: 1 is linear; below 1 there is a
fixed part. Run it alone.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from nba_cli.data import Augment
from nba_cli.runs.provenance import provenance
from nba_cli.seeds import generator
from nba_cli.training import Plan, fit, predict
from scripts.bench import sweeps
from scripts.bench.race import wait
from scripts.bench.setting import BATCH, CLASSES, VICTIMS, Setting, noise, setting

Series = dict[int, float]
"""Size -> seconds."""


def timed(work: Callable[[], object], repeats: int = 3) -> float:
    """The shortest of some times: what disturbs a machine only adds."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def learning(at: Setting, count: int, side: int = 32, batch: int = BATCH, steps: int | None = None) -> float:
    """Seconds of an epoch over `count` images, or of `steps`; the first batches, which choose kernels, do not count."""
    data = noise(count, side).to(at.device)
    network, random = VICTIMS[at.victim]().build(CLASSES, data).to(at.device), generator(0, "bench", at.device)

    def train(plan: Plan) -> None:
        fit(network, data, replace(plan, batch=batch), augment=Augment(), generator=random, dtype=at.dtype)
        wait(at.device)

    train(Plan(steps=2))
    return timed(lambda: train(Plan(steps=steps) if steps else Plan(epochs=1)))


def reading(at: Setting, count: int) -> float:
    """Seconds of predictions of `count` images."""
    data, network = noise(count).to(at.device), at.network()

    def read() -> None:
        predict(network, data.images, at.dtype)
        wait(at.device)

    return timed(read)


def jobs(counts: list[int], device: str) -> tuple[Series, Series]:
    """Sweeps of new jobs, and of finished ones."""
    new, finished = {}, {}
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            new[count] = sweeps.sweep("basic", count, Path(name), device)
            finished[count] = sweeps.sweep("basic", count, Path(name), device)
    return new, finished


def tables(counts: list[int]) -> Series:
    """Tables of finished runs."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        sweeps.sweep("basic", 1, Path(name))
        record = next(Path(name).glob("basic/attack/*/metrics.json"))
        for count in counts:
            folder = Path(name, f"of {count}")
            sweeps.fill(count, folder, record)
            found[count] = timed(lambda folder=folder: sweeps.table(folder))
    return found


def series(at: Setting) -> dict[str, Series]:
    """Everything that is measured, by what it grows with."""
    cpu = at.device.type == "cpu"
    images = [2500, 5000, 10_000, 20_000] if cpu else [50_000, 100_000, 200_000]
    new, finished = jobs([25, 50, 100, 200], str(at.device))
    return {
        "images of an epoch": {count: learning(at, count) for count in images},
        "images predicted": {count: reading(at, count) for count in images},
        "pixels of an image": {side**2: learning(at, 64, side, batch=32, steps=4) for side in (32, 64, 96, 224)},
        "images of a batch": {batch: learning(at, 512, batch=batch, steps=4) for batch in (16, 32, 64, 128, 256, 512)},
        "jobs of a sweep": new,
        "finished jobs of a sweep": finished,
        "finished runs of a table": tables([100, 1000, 10_000]),
    }


def exponent(found: Mapping[int, float]) -> float:
    """Of the power law through the last two sizes."""
    (few, short), (many, long) = sorted(found.items())[-2:]
    return math.log(long / short) / math.log(many / few)


def draw(found: dict[str, Series], file: Path) -> None:
    """A panel for each series, both axes logarithmic, beside what would be linear from its last size."""
    from matplotlib import pyplot

    _, panels = pyplot.subplots(2, math.ceil(len(found) / 2), figsize=(3.1 * math.ceil(len(found) / 2), 5.4))
    for axes, (name, one) in zip(panels.flat, found.items(), strict=False):
        sizes, seconds = zip(*sorted(one.items()), strict=True)
        axes.loglog(sizes, seconds, "o-", markersize=4, linewidth=1.4, label="measured")
        axes.loglog(sizes, [seconds[-1] * size / sizes[-1] for size in sizes], ":", color="grey", label="linear")
        axes.set_title(f"{name}: exponent {exponent(one):.2f}", fontsize=9, loc="left")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=30)
        axes.set_yticks(seconds[:: len(seconds) - 1], [f"{value:.2g}" for value in seconds[:: len(seconds) - 1]])
        axes.minorticks_off()
        axes.set_ylabel("seconds", fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in panels.flat[len(found) :]:
        axes.set_axis_off()
    panels.flat[0].legend(fontsize=7)
    pyplot.tight_layout()
    pyplot.savefig(file, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--file", type=Path, help="where to write the numbers as JSON")
    parser.add_argument("--plot", type=Path, help="where to draw them; needs pip install -e '.[plot]'")
    asked = parser.parse_args()
    at = setting("wrn_16_1", 1, 0.0, asked.device)
    found = series(at)
    for name, one in found.items():
        points = ", ".join(f"{size:,}: {seconds:.2f} s" for size, seconds in sorted(one.items()))
        print(f"{name:<26}exponent {exponent(one):5.2f}   {points}")
    if asked.file is not None:
        asked.file.write_text(json.dumps(found | {"made": provenance(at.device)}, indent=2) + "\n", encoding="utf-8")
    if asked.plot is not None:
        draw(found, asked.plot)


if __name__ == "__main__":
    main()
