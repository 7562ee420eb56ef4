"""`nba plot`: training curves, figures over the steps of a defense, sensitivity of a sweep. PNG and SVG."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nba_cli import options
from nba_cli.console import LOG
from nba_cli.errors import Refused, did_you_mean
from nba_cli.reports import curves, delivery, sweeps
from nba_cli.reports.delivery import OVERWRITE, PICTURE
from nba_cli.reports.filters import parse_words, select, why_none
from nba_cli.runs import reading
from nba_cli.runs.record import Record

OPTIONS = {
    "kind": "training (loss and accuracy over epochs), defense (ACC, ASR, RA over its steps) or sweep",
    "x": "of a sweep: the setting on the horizontal axis, such as defense.beta; gives kind=sweep",
    "figures": "what is drawn: acc, asr, ra, …",
    "lines": "of a sweep: the setting that tells its lines apart",
    "compare": "of a sweep over attack, defense, dataset or attack.rate: published, or a CSV file as for nba table",
    "output": "folder that holds all run folders",
    "file": "where to write FILE.png and FILE.svg, given with or without such an ending; else a new name in plots/",
    "overwrite": OVERWRITE,
}
TAKES = {"training": (), "defense": ("figures",), "sweep": ("x", "figures", "lines", "compare")}
"""The options that each kind takes beside those of all."""
KINDS: dict[str, Callable[[list[Record], dict[str, str]], None]] = {
    "training": curves.training,
    "defense": curves.defense,
    "sweep": sweeps.sweep,
}
VALUES = {
    "kind": tuple(KINDS),
    "compare": ("published", options.FILE),
    "output": (options.FOLDER,),
    "file": (options.FILE,),
    "overwrite": delivery.WORDS,
}
"""What completion offers of the options."""
STYLE: dict[str, Any] = {
    "figure.dpi": 160,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "nba",  # the same picture twice is the same file
    "text.parse_math": False,  # what records say is text
}
METADATA = {"png": {"Software": PICTURE}, "svg": {"Date": None, "Creator": PICTURE}}


def main(arguments: Sequence[str]) -> int:
    """Read `option=value` words; what is no option filters by a setting.

    Raises:
        Refused: matplotlib is not installed, an unknown option, or no run that fits.
    """
    given, filters = parse_words("plot", arguments, OPTIONS)
    kind = given.get("kind", "sweep" if "x" in given else "training")
    if kind not in KINDS:
        raise Refused(f"kind={kind}: there is no such plot. {did_you_mean(kind, KINDS)}")
    if "compare" in given and kind != "sweep":
        raise Refused(
            f"compare={given['compare']}: published figures know no steps. Choose x=attack, defense or dataset."
        )
    if idle := [name for name in TAKES["sweep"] if name in given and name not in TAKES[kind]]:
        raise Refused(f"{idle[0]}={given[idle[0]]}: kind={kind} has no use for it. kind=sweep has.")
    overwrite = delivery.is_true(given.get("overwrite"))
    root = Path(given.get("output", "runs"))
    wanted = Path(given.get("file", ""))
    if os.path.exists(wanted) and not (wanted.is_file() or wanted.is_dir()):  # it would get neighbours, PNG and SVG
        raise Refused(f"file={wanted}: a device or a pipe lies there. Give the name of a picture.")
    if not root.is_dir():
        raise Refused(f"output={root}: no such folder. Give the folder that holds the runs.")
    every = reading.read_all(root)
    found = select("plot", every, filters, OPTIONS)
    if not found:
        raise Refused(why_none(root, every, filters))
    try:
        import matplotlib
    except ImportError as error:
        raise Refused("nba plot draws with matplotlib; in nba's checkout: pip install -e '.[plot]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        KINDS[kind](found, given)
        pictures = {ending: drawn(pyplot, ending) for ending in METADATA}
        pyplot.close()
    base = without_ending(given["file"]) if "file" in given else delivery.unused(Path("plots", kind), pictures)
    named = {Path(f"{base}.{ending}"): content for ending, content in pictures.items()}
    for word in delivery.deliver(named, overwrite=overwrite):
        LOG.info(f"picture: {word}")
    return 0


def without_ending(file: str) -> str:
    """FILE of FILE, FILE.png or FILE.svg."""
    path = Path(file)
    return str(path.with_suffix("")) if path.suffix.lower().removeprefix(".") in METADATA else file


def drawn(pyplot: Any, ending: str) -> bytes:
    """The current figure as a file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a letter that the font lacks is drawn as a box
        pyplot.savefig(buffer, format=ending, bbox_inches="tight", metadata=METADATA[ending])
    return buffer.getvalue()
