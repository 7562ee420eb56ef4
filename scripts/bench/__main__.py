"""What this machine can do, what nba does of it, and what the usual loop does: side by side, in turns.

    python -m scripts.bench                                # everything; some 20 minutes on 2 cores
    python -m scripts.bench training --victims wrn_16_1    # a part: training, evaluation, stamping, defenses, start
    python -m scripts.bench training --file bench.json     # the numbers of every round, and of the machine

Every ratio is the median over the rounds. Run it alone: another program on the machine makes all numbers worthless.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from attacks import ATTACKS
from nba_cli.defenses import DEFENSES
from nba_cli.runs import provenance
from scripts.bench import cleaning, evaluation, start, training
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
    entrants: dict[str, Entrant] = {
        "limit": lambda: training.limit(at),
        "ours": lambda: training.ours(at, resident),
        "plain limit": lambda: training.limit(at, plain=True),
        "usual, 0 workers": lambda: training.usual(at, pictures, 0),
        "usual, 2 workers": lambda: training.usual(at, pictures, 2),
    }
    speeds = race(entrants, at.rounds, at.seconds, at.device)
    found = say(f"train {at.victim}", speeds, lambda name: "plain limit" if "usual" in name else "limit")
    gain = speeds["ours"].over(speeds["usual, 2 workers"])
    print(f"{'':<22}ours is {gain:.2f} times as fast as usual, 2 workers")
    return found | {"ours over usual": gain}


def evaluate(at: Setting) -> dict[str, Any]:
    test = noise(TEST).to(at.device)
    entrants: dict[str, Entrant] = {
        f"batches of {size}": partial(evaluation.forward, at, size) for size in evaluation.SIZES
    }
    speeds = race({**entrants, "ACC, ASR, RA": lambda: evaluation.measured(at, test)}, at.rounds, at.seconds, at.device)
    best = max(entrants, key=lambda name: speeds[name].median)
    return say(f"evaluate {at.victim}", speeds, lambda name: best)


def stamp(at: Setting) -> dict[str, Any]:
    images = noise(TRAIN).images[:5000]
    triggers = {name: evaluation.trigger(name) for name in ATTACKS if name not in ("none", "unknown")}
    entrants: dict[str, Entrant] = {name: partial(evaluation.stamping, each, images) for name, each in triggers.items()}
    speeds = race(entrants, at.rounds, at.seconds, at.device)
    for name, speed in speeds.items():
        print(f"{'stamp':<22}{name:<18}{TRAIN / speed.median:>10.2f} s for {TRAIN:,} images", flush=True)
    return {name: speed.plain() for name, speed in speeds.items()}


def clean(at: Setting) -> dict[str, Any]:
    found = {}
    for name in DEFENSES:
        cost = cleaning.bare(at)
        run = cleaning.clean(at, name)
        share = run["seconds"] / cost.seconds(run["passes"]) if any(run["passes"].values()) else None
        ratio = "makes no pass" if share is None else f"{share:5.2f} of its bare passes"
        print(f"{'defend ' + at.victim:<22}{name:<18}{run['seconds']:>8.1f} s  {ratio}", flush=True)
        found[name] = run | {"bare": vars(cost), "ratio": share}
    return found


def begin(at: Setting) -> dict[str, Any]:
    found = start.short_run(at.victim)
    above = (found["peak"] - found["torch"]) / 1e9
    took = f"{found['first_step']:.1f} s to the first step"
    print(f"{'start ' + at.victim:<22}{took}; peak {above:.2f} GB above that of importing torch", flush=True)
    return found


PARTS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "training": train,
    "evaluation": evaluate,
    "stamping": stamp,
    "defenses": clean,
    "start": begin,
}
ONCE = ("stamping", "defenses")  # for the first victim alone


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS))
    parser.add_argument("--rounds", type=int, default=5, help="turns of each entrant (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="least length of a turn (default 3)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--file", type=Path, help="where to write the numbers as JSON")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for number, victim in enumerate(asked.victims):
        at = setting(victim, asked.rounds, asked.seconds, asked.device, asked.precision)
        for part in asked.parts or PARTS:
            if number == 0 or part not in ONCE:
                found.setdefault(part, {})[victim] = PARTS[part](at)
    made = provenance.provenance(at.device) | {
        "precision": at.precision.value,
        "rounds": at.rounds,
        "seconds": at.seconds,
    }
    if asked.file is not None:
        asked.file.write_text(json.dumps(found | {"made": made}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
