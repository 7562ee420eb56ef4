"""What all formats share: headings, cells in words, and the lines around a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from nba_cli.reports.published import Published
from nba_cli.reports.report import Cell, is_share
from nba_cli.reports.rows import in_units
from nba_cli.reports.significance import Difference

TITLES = {
    "acc": "ACC",
    "asr": "ASR",
    "ra": "RA",
    "der": "DER",
    "floor": "ASR floor",
    "reference": "RA reference",
    "reference.acc": "clean ACC",
    "trigger.l2": "L2",
    "trigger.linf": "L_inf",
    "trigger.psnr": "PSNR",
    "trigger.ssim": "SSIM",
    "seconds.craft": "craft s",
    "seconds.train": "train s",
    "forward": "forward passes",
    "backward": "backward passes",
}
MISSING = "missing"
WITHIN = " ± "  # a mean and its standard deviation
BEST = " *"  # ends a figure that is better than all others in its place
UNITS = "ACC, ASR, RA, DER in percent; {} over n victims, each the mean of its defense seeds and clean sets.".format
STARRED = (
    "* is better than every other defense in its place: the paired difference has a 95 % interval that excludes 0. "
    "No defense at all (none) does not compete."
)


@dataclass(frozen=True)
class Layout:
    """What a report does not know itself.

    Fields:
        title: heading of the page or caption
        label: what a text refers to it by, in letters, digits and hyphens
        command: line that makes the table again
        origin: when, where and with which code the runs were made
        missing: command lines that fill the missing cells
        published: label of a section and of a line -> what others published for it
        pictures: name of an attack -> PNG of its trigger
        arrangement: a list of sections, or a matrix
        sections_down: whether the sections are the lines of the matrix, else its columns
        spread: whether a mean has its standard deviation beside it
    """

    title: str = "Results"
    label: str = "results"
    command: str = ""
    origin: str = ""
    missing: list[str] = field(default_factory=list)
    published: dict[tuple[str, str], list[Published]] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    arrangement: str = "list"
    sections_down: bool = False
    spread: bool = True


def number(figure: str, value: float) -> str:
    """A figure in its unit: shares in percent with two digits, counts whole, the rest with sensible digits."""
    if is_share(figure):
        return f"{in_units(figure, value):.2f}"
    if figure in ("forward", "backward") or figure.startswith(("counts", "memory", "passes")) or "triggered" in figure:
        return f"{value:,.0f}"
    return f"{value:.1f}" if figure.startswith("seconds") else f"{value:.3f}"


def cell(figure: str, found: Cell | None, *, spread: bool = True) -> str:
    """mean ± std, or the mean without `spread`; starred where it is the best."""
    if found is None:
        return "—"
    mean, std = number(figure, found.summary.mean), found.summary.std
    text = f"{mean}{WITHIN}{number(figure, std)}" if spread and std is not None else mean
    return text + (BEST if found.best else "")


def gap(figure: str, found: Difference | None, n: int) -> str:
    """Mean paired difference, with its interval where there is one, and its pairs where they are not `n`."""
    if found is None:
        return ""
    text = ("+" if found.mean >= 0 else "") + number(figure, found.mean)
    pairs = f" (n={found.n})" if found.n != n else ""
    if found.low is None or found.high is None:
        return text + pairs
    return f"{text} [{number(figure, found.low)}, {number(figure, found.high)}]" + pairs


def title(figure: str) -> str:
    return TITLES.get(figure, figure)
