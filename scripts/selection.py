"""Settings that were tried for each defense on the development victims, and which are the best there.

python -m scripts.selection FOLDER FILE

The score of a setting is the mean of ACC and RA over those victims, on images that trained none of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nba_cli.defenses import DEFENSES
from nba_cli.reports.composition import origin
from nba_cli.reports.rows import in_units
from nba_cli.reports.significance import by_victim
from nba_cli.runs.presets import deviations, preset
from nba_cli.runs.record import Record
from scripts.judging import CHOSEN_ON
from scripts.pages import alike_but_for_defenses, written

SEED, PRECISION = 100, "bf16"
FIGURES = ("acc", "asr", "ra")


@dataclass(frozen=True)
class Trial:
    """One setting of a defense, with its figures in percent, the mean over the development victims.

    Fields:
        folder: of the preset that sets it, None without
        changed: options that are not at their default
    """

    defense: str
    folder: str | None
    changed: dict[str, str]
    acc: float
    asr: float
    ra: float

    @property
    def score(self) -> float:
        return (self.acc + self.ra) / 2

    def cell(self) -> str:
        return f"{self.acc:.2f} / {self.asr:.2f} / {self.ra:.2f}, {self.score:.2f}"


def trials(records: Iterable[Record]) -> list[Trial]:
    """Settings that were run on all development victims, in the order of the registry."""
    groups: dict[tuple, list[Record]] = {}
    for record in used(records):
        groups.setdefault((record.get("defense"), *sorted(changes(record).items())), []).append(record)
    found = []
    for runs in groups.values():
        if {run.get("attack") for run in runs} == set(CHOSEN_ON):
            first, figures = runs[0], [over_victims(runs, name) for name in FIGURES]
            found.append(Trial(str(first.get("defense")), preset(first, "defense"), changes(first), *figures))
    return sorted(found, key=lambda trial: list(DEFENSES).index(trial.defense))


def changes(record: Record) -> dict[str, str]:
    """The options of its defense that are not at their default."""
    return deviations(record, "defense") or {}


def over_victims(runs: Sequence[Record], figure: str) -> float:
    """In percent, the mean over victims, each the mean of its runs."""
    values = ((run.get("attack"), in_units(figure, run.figure(figure))) for run in runs)
    return statistics.fmean(by_victim((victim, value) for victim, value in values if value is not None).values())


def used(records: Iterable[Record]) -> list[Record]:
    """The measured runs of today's defenses on development victims.

    Raises:
        Refused: they differ in more than attack and defense, so that they cannot be compared.
    """
    found = [
        record
        for record in records
        if record.get("stage") == "defend"
        and record.get("attack") in CHOSEN_ON
        and record.get("seed") == SEED
        and record.get("precision") == PRECISION
        and all(record.figure(name) is not None for name in FIGURES)
        and deviations(record, "defense") is not None
    ]
    alike_but_for_defenses(found, "trials")
    return found


def best(tried: Sequence[Trial], defense: str) -> Trial:
    """The setting of a defense with the highest score; the first of several."""
    return max((trial for trial in tried if trial.defense == defense), key=lambda trial: trial.score)


def page(records: Sequence[Record], folder: Path, file: Path) -> str:
    """What made the table, and the table: a row for each defense but NBA, whose form took trials of another kind."""
    tried = trials(records)
    lines = ["| defense | settings tried | by default | best |", "| --- | ---: | --- | --- |"]
    for defense in DEFENSES:
        own = [trial for trial in tried if trial.defense == defense]
        default = next((trial for trial in own if not trial.changed), None)
        if default is not None and defense not in ("none", "nba"):
            lines.append(f"| `{defense}` | {len(own)} | {default.cell()} | {ended(best(tried, defense))} |")
    return "\n".join(
        [
            "# Settings tried for each defense",
            "",
            f"    python -m scripts.selection {folder} {file}",
            "",
            *([origin(made), ""] if (made := used(records)) else []),
            f"ACC / ASR / RA in percent and the score, (ACC + RA) / 2, on the mean of {' and '.join(CHOSEN_ON)} of",
            f"seed {SEED}, in {PRECISION}. Settings of former versions do not count. `nba`, whose form took trials of",
            "another kind, is left out: README.md says how it was chosen.",
            "",
            *lines,
            "",
        ]
    )


def ended(trial: Trial) -> str:
    """The best setting: its figures, and the preset that sets it or what it changes."""
    if not trial.changed:
        return "the default"
    options = " ".join(f"{name}={value}" for name, value in trial.changed.items())
    return f"{trial.cell()}: `{f'{trial.folder}/{trial.defense}' if trial.folder else options}`"


if __name__ == "__main__":
    written(__doc__, page)
