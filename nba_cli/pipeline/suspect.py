"""A model in a weights file, opened: that of a run, or one from elsewhere with what its file says of it."""

from __future__ import annotations

from pathlib import Path

from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.pipeline.workbench import Workbench
from nba_cli.runs import foreign
from nba_cli.runs.registry import kind
from nba_cli.victims import Network, external, weights
from nba_cli.victims.external import External


def opened(bench: Workbench, file: Path) -> tuple[Network, External]:
    """The network of the bench's run with the weights in `file`, on the CPU, and how they lay there.

    Raises:
        Refused: the file cannot be read, or its weights are of another victim or for another number of classes.
    """
    run, splits = bench.run, bench.splits
    source = external.read(file)
    check(source, bench, file)
    network = run.victim.build(splits.num_classes, splits.train)
    own = run.victim.mean is not None
    weights.load_tensors(network, source.tensors, file, label=run.victim.label, quiet=own)
    return network, source


def check(source: External, bench: Workbench, file: Path) -> None:
    """Say what the file says of its model, and whether the run's data suit that.

    Raises:
        Refused: they have another number of classes.
    """
    run, splits, origin = bench.run, bench.splits, source.origin
    if origin.num_classes not in (None, splits.num_classes):
        raise Refused(
            f"{file}: a model of {origin.num_classes} classes, but dataset={kind(run.dataset)} has "
            f"{splits.num_classes}. Give the images that the model is for."
        )
    height, width = splits.test.images.shape[2:]
    if line := foreign.agreement(run, (height, width), origin, file):
        LOG.info(line)
    if origin.model_name is not None and origin.victim is None:
        LOG.warning(f"{file}: its model_name={origin.model_name} is unknown; using victim=… instead")
