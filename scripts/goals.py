"""The goals that were set for NBA before its table was made, each with its number, from run folders.

python -m scripts.goals FOLDER FILE
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from nba_cli.defenses import DEFENSES
from nba_cli.reports.composition import origin
from nba_cli.reports.rows import in_units
from nba_cli.reports.significance import by_victim, differences, paired
from nba_cli.runs.presets import called, deviations, preset, presets
from nba_cli.runs.record import Record
from scripts.judging import CHOSEN_ON, Goal, Values, above, at_most, spread, worst
from scripts.pages import alike_but_for_defenses, written

SIX = ("badnets", "trojan", "blend", "cl", "sig", "refool")
SEEDS = (1, 2, 3)
ALLOWED = 3
"""Points of ASR above the clean victim's, of one victim."""
FIVE = ("ft", "fp", "mcr", "nad", "anp")
OTHERS = ("argd", "ibau", "ftsam", "sau", "clp")
CONTROLS = ("nba without_pseudo", "ft_kd", "ft_nba")
"""NBA without pseudo samples; the suspect's own answers alone; the fine-tuning alone."""


class Measured:
    """Figures by defense, as "ft" or "ft selected", and by victim, in the units of tables.

    Only runs of today's versions count, with the settings of their defaults or of a preset.

    Raises:
        Refused: they differ in more than attack, defense and seeds, so that they belong to several tables.
    """

    def __init__(self, records: Iterable[Record], attacks: Sequence[str]) -> None:
        planned = [each for each in records if each.get("attack") in attacks and each.get("seed") in SEEDS]
        cleaned = [each for each in planned if each.get("stage") == "defend"]
        self.records = [each for each in cleaned if preset(each, "defense") or deviations(each, "defense") == {}]
        self.planned = len(attacks) * len(SEEDS)
        alike_but_for_defenses(self.records, "runs")
        self.runs: dict[str, list[Record]] = {}
        for record in self.records:
            self.runs.setdefault(called(record, "defense"), []).append(record)

    def of(self, defense: str, figure: str) -> Values:
        """A figure of every victim; seconds of every victim on a machine."""
        return by_victim(
            (self.unit(record, figure), number)
            for record in self.runs.get(defense, [])
            if (number := in_units(figure.rpartition(".")[2], record.figure(figure))) is not None
        )

    @property
    def names(self) -> list[str]:
        """Every defense that has runs, in the order of the registry."""
        return sorted(self.runs, key=lambda name: (list(DEFENSES).index(name.partition(" ")[0]), name))

    def unit(self, record: Record, figure: str) -> tuple:
        machine = [record.origin[name] for name in ("processor", "threads")] if figure == "seconds" else []
        return (record.get("attack"), record.get("seed"), *machine)


def forms(defense: str) -> list[str]:
    """A baseline by default, as published where that differs, as selected where settings were tried: all of them."""
    known = presets("defense", defense)
    return [defense, *(f"{defense} {folder}" for folder in ("published", "selected") if folder in known)]


def above_all(measured: Measured, defenses: Sequence[str], *, surely: bool) -> list[Goal]:
    """A goal for DER and one for RA, for every one of them."""
    return [
        above(
            f"{figure.upper()} - that of `{each}`",
            measured.of("nba", figure),
            measured.of(each, figure),
            measured.planned,
            surely=surely,
        )
        for figure in ("der", "ra")
        for each in defenses
    ]


def goals(records: Sequence[Record]) -> list[Goal]:
    """All of them, in the order in which they were set."""
    six, clean = Measured(records, SIX), Measured(records, ("none",))
    acc, asr, ra, floor, reference, seconds = (
        six.of("nba", each) for each in ("acc", "asr", "ra", "floor", "reference", "seconds")
    )
    return [
        at_most(1, "ASR - the clean victim's under the same trigger", asr, floor, six.planned),
        worst(ALLOWED, "the same, of the worst victim", asr, floor, six.planned),
        at_most(1, "ACC of the victim - what is left of it", *losses(six)),
        at_most(1, "the same of clean models", *losses(clean)),
        at_most(3, "the clean victim's RA under the same trigger - RA", reference, ra, six.planned),
        *above_all(six, [form for each in FIVE for form in forms(each)], surely=True),
        *above_all(six, [form for each in OTHERS for form in forms(each)], surely=False),
        *above_all(six, CONTROLS, surely=False),
        spread(1, "ACC, standard deviation over seeds, pooled over attacks", acc, six.planned),
        spread(2, "ASR, standard deviation over seeds, pooled over attacks", asr, six.planned),
        at_most(0, "seconds - those of `anp` on the same machine", seconds, six.of("anp", "seconds"), six.planned),
    ]


def losses(measured: Measured) -> tuple[Values, Values, int]:
    return measured.of("nba", "before.acc"), measured.of("nba", "acc"), measured.planned


def ahead(six: Measured, attack: str) -> str:
    """A line for an attack: the defenses whose mean over the seeds they share with NBA is better than NBA's."""
    cells = []
    for figure, sign in (("acc", 1), ("asr", -1), ("ra", 1), ("der", 1)):
        ours = {victim: value for victim, value in six.of("nba", figure).items() if victim[0] == attack}
        gaps = {name: paired(six.of(name, figure), ours) for name in six.names if name not in ("nba", "none")}
        cells.append(", ".join(f"`{name}`" for name, gap in gaps.items() if gap and sign * gap.mean > 0) or "none")
    return f"| {attack} | {' | '.join(cells)} |"


def withstood(six: Measured) -> list[str]:
    """A line for each defense: on how many victims it leaves at most `ALLOWED` points more ASR than a clean one has."""
    lines = []
    for name in six.names:
        gaps = differences(six.of(name, "asr"), six.of(name, "floor"))
        if not gaps:
            continue
        attack, seed = max(gaps, key=lambda victim: gaps[victim])
        count = sum(gap <= ALLOWED for gap in gaps.values())
        lines.append(f"| `{name}` | {count} of {len(gaps)} | {gaps[attack, seed]:+.2f}, {attack}, seed {seed} |")
    return lines


def page(records: Sequence[Record], folder: Path, file: Path) -> str:
    """A Markdown table of the goals, and over how many victims they are."""
    six = Measured(records, SIX)
    used = six.records + Measured(records, ("none",)).records
    return "\n".join(
        [
            "# NBA's goals, each with its number",
            "",
            f"    python -m scripts.goals {folder} {file}",
            "",
            *([origin(used), ""] if used else []),
            "Each number is the mean over victims of NBA's figure, or of its difference from another defense, in",
            "percentage points (seconds in seconds); in brackets the 95 % interval over victims. The mean decides, and",
            "the interval too where the goal says so. Victims of one attack resemble each other, so two more intervals",
            "stand beside it. *Other attacks*: for attacks that are not among these; each attack counts once. *Same",
            f"attacks*: for other seeds of these attacks. *Without {' and '.join(CHOSEN_ON)}* leaves out those of the",
            "development victims, on which NBA's form and the `selected` settings were chosen. No interval is",
            "corrected for how many there are: of twenty at 95 %, one may miss the truth.",
            f"n: victims so far, of {len(SIX) * len(SEEDS)} ({', '.join(SIX)}; seeds {', '.join(map(str, SEEDS))}),",
            f"of {len(SEEDS)} clean models. Until all are there a goal is open.",
            "",
            f"| wanted | number | n | other attacks | same attacks | without {' and '.join(CHOSEN_ON)} | met |",
            "| --- | --- | ---: | --- | --- | --- | --- |",
            *(goal.line() for goal in goals(records)),
            "",
            f"Victims on which a defense leaves at most {ALLOWED} points more ASR than a clean victim has under the",
            "same trigger, and the victim on which it leaves most:",
            "",
            "| defense | withstood | worst |",
            "| --- | ---: | --- |",
            *withstood(six),
            "",
            "Defenses that are ahead of `nba`, however little, on the mean over the seeds of an attack that both have",
            "(in ASR: below it):",
            "",
            "| attack | ACC | ASR | RA | DER |",
            "| --- | --- | --- | --- | --- |",
            *(ahead(six, attack) for attack in SIX),
            "",
        ]
    )


if __name__ == "__main__":
    written(__doc__, page)
