"""Write a results file from finished run folders: what the README and results/ show is made here, never typed.

    python scripts/results.py TITLE OUT.md COMMAND RUNS [RUNS ...]

COMMAND is the line that made the runs and is printed above the table. RUNS are folders that hold metrics.json, or
folders of such folders; rows are sorted in the order of the registries. Machine, date and commits are read from the
runs; differing ones are all named. Folders of victims alone give a table of attacks.
"""

import sys
from pathlib import Path

from attacks import ATTACKS
from nba_cli import runs, tables
from nba_cli.defenses import DEFENSES


def find(arguments: list[str]) -> list[Path]:
    """All finished runs in or under the given folders."""
    folders = {file.parent for argument in arguments for file in Path(argument).rglob("metrics.json")}
    if not folders:
        sys.exit(f"no finished run under {', '.join(arguments)}")
    return sorted(folders, key=rank)


def rank(folder: Path) -> tuple:
    settings = runs.results(folder)["settings"]
    attack, defense = settings["attack"]["kind"], settings.get("defense", {}).get("kind", "")
    place = [list(registry).index(name) if name in registry else len(registry)
             for registry, name in ((ATTACKS, attack), (DEFENSES, defense))]  # fmt: skip
    return settings["dataset"]["kind"], *place, folder.name


def origin(folders: list[Path]) -> str:
    """When, where and with which code: the sorted set of every answer among the runs."""
    made = [runs.results(folder)["made"] for folder in folders]
    victims = [runs.results(folder).get("victim_commit") for folder in folders]
    say = lambda values: ", ".join(sorted({str(value) for value in values if value}))  # noqa: E731
    precision = say(runs.results(folder)["precision"] for folder in folders)
    return (
        f"Date: {say(one['date'][:10] for one in made)}. Machine: {say(one['processor'] for one in made)}, "
        f"{say(one['threads'] for one in made)} threads, {precision}. torch {say(one['torch'] for one in made)}. "
        f"Commit: {say([one['commit'] for one in made] + victims)}."
    )


def main() -> None:
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    title, out, command, *where = sys.argv[1:]
    folders = find(where)
    text = f"# {title}\n\n    {command}\n\n{origin(folders)}\nACC, ASR, RA, DER in percent.\n\n"
    Path(out).write_text(text + tables.markdown(folders), encoding="utf-8")
    print(f"wrote {out}: {len(folders)} runs")


if __name__ == "__main__":
    main()
