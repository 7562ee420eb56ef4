"""The benchmark's tables, as README shows them, from the files that it wrote.

python -m scripts.bench.page results/speed
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

TRAINING = ("limit", "ours", "compiled limit", "ours, compiled", "plain limit", "usual, 0 workers", "usual, 2 workers")


def read(folder: Path) -> dict[str, Any]:
    """Part -> victim -> what was measured, of all files in `folder`; a later file by name wins."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.json")):
        for part, victims in json.loads(file.read_text(encoding="utf-8")).items():
            if part in PARTS:
                for victim, one in victims.items():
                    found.setdefault(part, {}).setdefault(victim, {}).update(one)
    return found


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def training(found: dict[str, Any]) -> str:
    """Images per second, and how our loop stands beside the plain bare step and the better of the usual loops."""
    rows = []
    for victim, one in found.items():
        cells = [f"{one[name]['median']:,.0f}" for name in TRAINING]
        rows.append([victim, *cells, f"{one['ours']['ratio']:.2f}", f"{one['ours over usual']:.2f}"])
    return table(["train", *TRAINING, "ours / limit", "ours / usual"], rows)


def evaluation(found: dict[str, Any]) -> str:
    """Images per second of bare forward passes by batch size, and of the three figures."""
    names = list(next(iter(found.values())))
    rows = [
        [victim, *(f"{one[name]['median']:,.0f}" for name in names), f"{one[names[-1]]['ratio']:.2f}"]
        for victim, one in found.items()
    ]
    return table(["evaluate", *names, "figures / best batch"], rows)


def defenses(found: dict[str, Any]) -> str:
    """How many times as long a defense takes as the bare passes that it makes."""
    (one,) = found.values()
    timed = {name: defense["times"] for name, defense in one.items() if defense["times"] is not None}
    return table(["defense", *timed], [["times its bare passes", *(f"{times:.2f}" for times in timed.values())]])


def start(found: dict[str, Any]) -> str:
    rows = [
        [victim, f"{one['first_step']:.1f}", f"{(one['peak'] - one['torch']) / 1e9:.2f}"]
        for victim, one in found.items()
    ]
    return table(["start", "seconds to the first step", "GB above importing torch"], rows)


def stamping(found: dict[str, Any]) -> str:
    """Seconds that 50,000 images take."""
    (one,) = found.values()
    return table(
        ["stamp", *one], [["s for 50,000 images", *(f"{50_000 / each['median']:.2f}" for each in one.values())]]
    )


def sweeps(found: dict[str, Any]) -> str:
    (one,) = found.values()
    each = {f"ms a job, {name}": f"{1000 * seconds:.0f}" for name, seconds in one["each"].items()}
    last = one["tables"]["table"]
    many = f"nba table of {one['runs']:,} runs"
    return table(["sweeps", *each, many], [["", *each.values(), f"{last['seconds']:.1f} s, {last['peak']:.0f} MB"]])


PARTS = {
    "training": training,
    "evaluation": evaluation,
    "defenses": defenses,
    "stamping": stamping,
    "start": start,
    "sweeps": sweeps,
}


def page(folder: Path) -> str:
    """All tables of the parts that `folder` has."""
    found = read(folder)
    return "\n\n".join(show(found[part]) for part, show in PARTS.items() if part in found)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench.page", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="with the files of --file")
    print(page(parser.parse_args().folder))


if __name__ == "__main__":
    main()
