"""What every stage has in hand: the machine, the loaded data, and the folder that the result goes to."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attacks import Attack, Images, Mode
from nba_cli import console, devices, ranks
from nba_cli.data import Splits
from nba_cli.errors import Refused
from nba_cli.files import file_digest
from nba_cli.metrics import visibility
from nba_cli.pipeline import collective, pictures, room
from nba_cli.runs import durations, folder
from nba_cli.runs.plain import to_plain
from nba_cli.runs.provenance import provenance
from nba_cli.runs.registry import kind
from nba_cli.runs.settings import AttackRun, PreviewRun
from nba_cli.victims import Network, weights


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """Set up once per stage by `open_workbench`, which took `loading` seconds."""

    stage: str
    run: AttackRun
    out: Path
    device: torch.device
    precision: devices.Precision
    splits: Splits
    loading: float = 0.0

    @property
    def dtype(self) -> torch.dtype:
        return devices.DTYPES[self.precision]

    @functools.cached_property
    def train_digest(self) -> str:
        """Of all training images and labels, which is computed once: it takes a while."""
        return self.splits.train.digest()

    @functools.cached_property
    def test_digest(self) -> str:
        """Of all images and labels that are measured on."""
        return self.splits.test.digest()

    def check_data(self, out: Path, *names: str) -> None:
        """Check that the sets `names`, of train and test, are those of the finished run in `out`.

        Raises:
            Refused: they have changed since.
        """
        recorded = folder.read_metrics(out).get("digests", {})
        place = getattr(self.run.dataset, "path", None)
        which = f"dataset={kind(self.run.dataset)}" if place is None else f"dataset.path={place}"
        for name in names:
            if recorded.get(name) not in (None, found := getattr(self, f"{name}_digest")):
                raise Refused(
                    f"{which}: its {name} images have changed since {out} was made: their SHA-256 was "
                    f"{recorded[name]} and is {found}. Put the old ones back, or do that run again with overwrite=true."
                )

    def header(self, **rows: str) -> None:
        """Say what is about to run, on what."""
        splits, run = self.splits, self.run
        shape = "x".join(map(str, splits.test.images.shape[1:]))
        kept = "reserved" if run.dataset.reserved else "test"
        sizes = f"{len(splits.train):,} training and {len(splits.test):,} {kept} images {shape}"
        about = {
            "runs": f"{kind(run.attack)} on {run.victim.label}",
            "data": f"{kind(run.dataset)}: {sizes}, {splits.num_classes} classes",
        }
        where = {"device": devices.describe(self.device, self.precision)} | ranks_note(self.device)
        console.header(f"nba {self.stage}", about | rows | where | {"folder": str(self.out)})

    def begin(self) -> None:
        """Nothing can be refused any more: mark the run unfinished, write its settings."""
        folder.begin(self.out, self.stage, to_plain(self.run), overwrite=self.run.overwrite)

    def load_network(self, file: Path) -> Network:
        """The victim with the weights in `file`, on the run's device."""
        network = self.run.victim.blank(self.splits.num_classes, self.splits.shape)
        weights.load(network, file)
        return network.to(self.device)

    def measure(self, network: Network, attack: Attack) -> dict[str, Any]:
        """The figures of `network` on the test set, under the trigger of `attack`."""
        run, test = self.run, self.splits.test
        return ranks.together(
            collective.measure, self.copied(network), attack, test, run.dataset, self.device, self.dtype
        )

    def copied(self, network: Network) -> collective.Copied:
        """`network`, a victim of the run's architecture, as other ranks can have it."""
        splits = self.splits
        return collective.Copied(
            network=network, victim=self.run.victim, num_classes=splits.num_classes, shape=splits.shape
        )

    def trigger_figures(self, attack: Attack) -> dict[str, float]:
        """Write a picture of the trigger; returns how far it moves test images, see `metrics.visibility`."""
        test, num_classes = self.splits.test, self.splits.num_classes
        pictures.trigger_sheet(attack, test, num_classes, self.out / folder.PICTURE)
        return visibility.of_attack(attack, test, num_classes)

    def rest(self, since: float) -> dict[str, float]:
        """What a run takes besides its training or defense, which ended at `since`: loading, measuring, drawing."""
        return {durations.REST: self.loading + time.monotonic() - since}

    def finish(self, **fields: Any) -> None:
        """Write the record: what is known of every stage, and `fields`."""
        common = {
            "stage": self.stage,
            "settings": to_plain(self.run),
            "victim_label": self.run.victim.label,
            "device": str(self.device),
            "precision": self.precision.value,
        }
        own = (folder.HISTORY, folder.CURVE)
        written = {folder.DIGESTS[name]: file_digest(self.out / name) for name in own if (self.out / name).is_file()}
        taken = {name: value for name, value in fields["digests"].items() if name not in map(folder.DIGESTS.get, own)}
        fields["digests"] = taken | written  # those of a defense come with its victim's
        folder.finish(self.out, common | fields | {"made": provenance(self.device)})


def open_workbench(stage: str, run: AttackRun, out: Path) -> Workbench:
    """Resolve the machine and load the data.

    Raises:
        Refused: there is no such device, the logger's package is missing, the data cannot be read or does not suit the
            run, or there is no room for it.
    """
    began = time.monotonic()
    run.logger.check()
    device = devices.resolve(run.device)
    devices.prepare(device)
    precision = devices.resolve_precision(run.precision, device)
    splits = load_data(run)
    room.check(stage, run, splits, device, devices.DTYPES[precision])
    return Workbench(
        stage=stage,
        run=run,
        out=out,
        device=device,
        precision=precision,
        splits=splits,
        loading=time.monotonic() - began,
    )


def load_data(run: AttackRun | PreviewRun) -> Splits:
    """The run's data.

    Raises:
        Refused: it cannot be read, or the run's attack does not suit it.
    """
    splits = run.dataset.load()
    if run.attack is not None:
        run.attack.check(splits.num_classes, splits.shape)
    if isinstance(run.attack, Images) and (splits.defender or run.dataset.reserved):
        raise Refused("attack=images: its files are numbered by the test set, and this run measures on other images.")
    return splits


def ranks_note(device: torch.device) -> dict[str, str]:
    """What the processes of torchrun divide among them; nothing where there is one."""
    if ranks.launched() == 1:
        return {}
    norm = "sees the whole batch (SyncBatchNorm)" if device.type == "cuda" else "sees a rank's part of the batch"
    who = f"{ranks.launched()}, which train a victim and measure together; the rest is rank 0's alone"
    return {"ranks": f"{who}. Batch norm {norm}"}


def poison_note(attack: Attack, count: int, total: int) -> str:
    """How many images are poisoned, what the rate refers to, and what the attacker wants."""
    if not attack.rate:
        return "no image: a clean victim"
    whole = f"class {attack.target}" if attack.mode is Mode.clean_label else f"the {total:,} training images"
    wanted = "label + 1" if attack.mode is Mode.all2all else f"class {attack.target}"
    share = f"{100 * attack.rate:.4g} %"
    what = f"{count:,} images ({share} of {whole})" if count else f"{share} of every batch"
    return f"{what}, {attack.mode.value} -> {wanted}"
