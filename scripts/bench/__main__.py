"""What this machine can do, what nba does of it, and what the usual loop does: side by side, in turns.

    python -m scripts.bench                                # everything: about an hour on 2 cores
    python -m scripts.bench training --victims wrn_16_1    # a part; --help names all
    python -m scripts.bench training --file bench.json     # the numbers of every round, and of the machine

Ratios of speeds are medians of the ratios round by round; what passes through the best batch size is the best of four
medians, so that shares of it are a little too low. Run it alone: another program on the machine makes all numbers
worthless. The file is written after each part.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from attacks import ATTACKS
from nba_cli.defenses import DEFENSES
from nba_cli.runs import provenance
from nba_cli.training import Compiling
from scripts.bench import cleaning, evaluation, start, sweeps, training
from scripts.bench.race import Entrant, Speed, race
from scripts.bench.setting import VICTIMS, Setting, noise, setting

TRAIN, TEST = 50_000, 10_000


def say(title: str, speeds: dict[str, Speed], limit: Callable[[str], str]) -> dict[str, Any]:
    """Print a line an entrant, with its share of the one that limits it; returns the same as plain values."""
    found = {}
    for name, speed in speeds.items():
        ratio = speed.over(speeds[limit(name)])
        print(f"{title:<22}{name:<18}{speed.median:>10,.0f} images/s  ({min(speed.rates):,.0f} to "
              f"{max(speed.rates):,.0f})  {ratio:5.2f} of {limit(name)}", flush=True)  # fmt: skip
        found[name] = speed.plain() | {"ratio": ratio, "of": limit(name)}
    return found


def train(at: Setting) -> dict[str, Any]:
    resident, pictures = noise(TRAIN).to(at.device), noise(TRAIN)
    workers = {f"usual, {count} workers": count for count in sorted({0, 2, min(4, os.cpu_count() or 1)})}
    entrants: dict[str, Entrant] = {
        "limit": lambda: training.limit(at),
        "ours": lambda: training.ours(at, resident),
        "plain limit": lambda: training.plain_limit(at),
        "compiled limit": lambda: training.compiled_limit(at),
        "ours, compiled": lambda: training.ours(at, resident, Compiling.on),
    } | {name: partial(training.usual, at, pictures, count) for name, count in workers.items()}
    speeds = race(entrants, at.rounds, at.seconds, at.device)
    limits = {"ours, compiled": "compiled limit"} | dict.fromkeys(workers, "plain limit")
    found = say(f"train {at.victim}", speeds, lambda name: limits.get(name, "limit"))
    best = max(workers, key=lambda name: speeds[name].median)
    gains = {"ours over usual": speeds["ours"].over(speeds[best]),
             "limit over plain limit": speeds["limit"].over(speeds["plain limit"])}  # fmt: skip
    print(f"{'':<22}ours is {gains['ours over usual']:.2f} times as fast as {best}; arithmetic and memory format alone "
          f"make {gains['limit over plain limit']:.2f} of it", flush=True)  # fmt: skip
    return found | gains


def evaluate(at: Setting) -> dict[str, Any]:
    test = noise(TEST if at.light else TEST // 10).to(at.device)
    entrants: dict[str, Entrant] = {
        f"batches of {size}": partial(evaluation.forward, at, size) for size in evaluation.SIZES
    }
    speeds = race({**entrants, "ACC, ASR, RA": lambda: evaluation.measured(at, test)}, at.rounds, at.seconds, at.device)
    best = max(entrants, key=lambda name: speeds[name].median)
    return say(f"evaluate {at.victim}", speeds, lambda name: best)


def stamp(at: Setting) -> dict[str, Any]:
    images = noise(TRAIN).images[:5000]
    triggers = {name: evaluation.trigger(name) for name, cls in ATTACKS.items() if cls().rate}
    entrants: dict[str, Entrant] = {name: partial(evaluation.stamping, each, images) for name, each in triggers.items()}
    speeds = race(entrants, at.rounds, at.seconds, at.device)
    for name, speed in speeds.items():
        print(f"{'stamp':<22}{name:<18}{TRAIN / speed.median:>10.2f} s for {TRAIN:,} images, on the CPU", flush=True)
    return {name: speed.plain() for name, speed in speeds.items()}


def clean(at: Setting) -> dict[str, Any]:
    found = {}
    for name in at.defenses:
        one = found[name] = cleaning.beside(at, name)
        times = one["times"]
        ratio = "makes no pass to speak of" if times is None else f"{times:5.2f} times as long as its bare passes"
        print(f"{'defend ' + at.victim:<22}{name:<18}{one['seconds']:>8.1f} s  {ratio}", flush=True)
    return found


def begin(at: Setting) -> dict[str, Any]:
    found = start.short_run(at)
    above = (found["peak"] - found["torch"]) / 1e9
    took = f"{found['first_step']:.1f} s to the first step"
    print(f"{'start ' + at.victim:<22}{took}; peak {above:.2f} GB above that of importing torch", flush=True)
    return found


def run_many(at: Setting) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        few = at.seconds < 1  # a look whether it works
        found = sweeps.cost(Path(name), 10 if few else 200, 200 if few else 10_000, str(at.device))
    for name, seconds in found["each"].items():
        print(f"{'sweep':<22}{name:<18}{1000 * seconds:>10.0f} ms a job", flush=True)
    for name, one in found["tables"].items():
        print(f"{found['runs']:,} runs{name:>20}{one['seconds']:>10.1f} s, {one['peak']:.0f} MB", flush=True)
    return found


PARTS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "training": train,
    "evaluation": evaluate,
    "stamping": stamp,
    "defenses": clean,
    "start": begin,
    "sweeps": run_many,
}
ONCE = ("stamping", "defenses", "sweeps")  # for the first victim alone


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS))
    parser.add_argument("--defenses", nargs="+", choices=DEFENSES, default=list(DEFENSES))
    parser.add_argument("--rounds", type=int, default=5, help="turns of each entrant (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="least length of a turn (default 3)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--file", type=Path, help="where to write the numbers as JSON")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for number, victim in enumerate(asked.victims):
        at = setting(victim, asked.rounds, asked.seconds, asked.device, asked.precision, tuple(asked.defenses))
        asks = {"precision": at.precision.value, "rounds": at.rounds, "seconds": at.seconds}
        for part in asked.parts or PARTS:
            if number == 0 or part not in ONCE:
                found.setdefault(part, {})[victim] = PARTS[part](at)
                if asked.file is not None:
                    made = provenance.provenance(at.device) | asks
                    asked.file.write_text(json.dumps(found | {"made": made}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
