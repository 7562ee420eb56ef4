"""What every stage has in hand: the machine, the loaded data, and the folder that the result goes to."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attacks import Attack, Mode
from nba_cli import cost, devices, distances, logs, metrics, pictures, runs, seeds, weights
from nba_cli.data import Data, Splits
from nba_cli.defenses import Evidence
from nba_cli.history import History
from nba_cli.schema import AttackRun, DefendRun
from nba_cli.snapshots import FOLDER, Snapshots
from nba_cli.train import Report
from nba_cli.victims import Network


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a defense: wall-clock seconds, images passed forward and backward, peak bytes."""

    seconds: float
    passes: dict[str, int]
    memory: dict[str, int]


@dataclass(kw_only=True)
class Bench:
    """Set up once per stage by `open_bench`."""

    stage: str
    run: AttackRun
    out: Path
    device: torch.device
    precision: devices.Precision
    splits: Splits
    snapshots: Snapshots | None = None

    @property
    def dtype(self) -> torch.dtype:
        return devices.DTYPES[self.precision]

    def header(self, **rows: str) -> None:
        """Say what is about to run, on what."""
        splits, run = self.splits, self.run
        shape = "x".join(map(str, splits.test.images.shape[1:]))
        sizes = f"{len(splits.train):,} training and {len(splits.test):,} test images {shape}"
        about = {
            "runs": f"{runs.kind(run.attack)} on {run.victim.label}",
            "data": f"{runs.kind(run.dataset)}: {sizes}, {splits.num_classes} classes",
        }
        where = {"device": devices.describe(self.device, self.precision), "folder": str(self.out)}
        logs.header(f"nba {self.stage}", about | rows | where)

    def begin(self) -> None:
        """Nothing can be refused any more: mark the run unfinished, write its settings."""
        runs.begin(self.out, self.stage, self.run)

    def trigger(self) -> dict[str, float]:
        """Write a picture of the trigger; returns how far it moves test images, see `distances`."""
        test, attack, num_classes = self.splits.test, self.run.attack, self.splits.num_classes
        pictures.trigger_sheet(attack, test, num_classes, self.out / "trigger.png")
        return distances.of_attack(attack, test, num_classes)

    def load(self, file: Path) -> Network:
        """The victim with the weights in `file`, on the run's device."""
        network = self.run.victim.build(self.splits.num_classes, self.splits.train)
        weights.load(network, file)
        return network.to(self.device)

    def measure(self, network: Network) -> dict:
        """The figures of `network` on the test set."""
        splits = self.splits
        test = self.run.dataset.place(splits.test, self.device)
        return metrics.measure(network, test, self.run.attack, splits.num_classes, self.dtype)

    def cure(self, network: Network, clean: Data) -> tuple[Network, Cost]:
        """Hand the evidence to the run's defense: the cleaned network, and what it cost."""
        run = self.run
        assert isinstance(run, DefendRun)
        evidence = Evidence(
            model=network.to(self.device),
            clean=run.dataset.place(clean, self.device),
            num_classes=self.splits.num_classes,
            augment=run.dataset.augment,
            dtype=self.dtype,
        )
        meter = cost.Meter(evidence.model)
        cost.reset_peak(self.device)
        began = time.monotonic()
        onward: Report = History(self.out / "history.jsonl", resume=False)
        if run.snapshots:
            onward = self.snapshots = Snapshots(self.out / FOLDER, evidence.model, onward)
        with logs.Bars(onward) as report:
            cured = run.defense(evidence, seeds.generator(run.defense_seed, "defense", self.device), report)
        return cured, Cost(seconds=time.monotonic() - began, passes=dict(meter.counts), memory=cost.peak(self.device))

    def finish(self, **fields: Any) -> None:
        """Write `metrics.json`: what is known of every stage, and `fields`."""
        common = {
            "stage": self.stage,
            "settings": runs.describe(self.run),
            "victim_label": self.run.victim.label,
            "device": str(self.device),
            "precision": self.precision.value,
        }
        runs.finish(self.out, common | fields, self.device)


def open_bench(stage: str, run: AttackRun, out: Path) -> Bench:
    """Resolve the machine and load the data."""
    device = devices.resolve(run.device)
    devices.prepare(device)
    precision = devices.resolve_precision(run.precision, device)
    splits = run.dataset.load()
    return Bench(stage=stage, run=run, out=out, device=device, precision=precision, splits=splits)


def poison_note(attack: Attack, count: int, total: int) -> str:
    """How many images are poisoned, what the rate refers to, and what the attacker wants."""
    if not attack.rate:
        return "no image: a clean victim"
    whole = f"class {attack.target}" if attack.mode is Mode.clean_label else f"the {total:,} training images"
    wanted = "label + 1" if attack.mode is Mode.all2all else f"class {attack.target}"
    share = f"{100 * attack.rate:.4g} %"
    what = f"{count:,} images ({share} of {whole})" if count else f"{share} of every batch"
    return f"{what}, {attack.mode.value} -> {wanted}"
