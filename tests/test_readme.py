"""What the README says that code can check: its snippet, and its table of settings."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from nba_cli.defenses import DEFENSES
from nba_cli.training import Plan
from scripts.bench.page import page

SNIPPET = re.search(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)


WATCH = """
import os, sys, torch
torch.save = lambda *given: print("saves", given[1])  # the snippet's last line, and nothing before it, writes
from nba_cli.training import Plan
BRIEF = Plan(steps=2, batch=8, lr=0.01)
{snippet}
assert "hydra" not in sys.modules, "no Hydra"
assert os.listdir(".") == [], "no files"
assert type(cleaned) is victims.Tapped and cleaned is not model
print("global state", torch.equal(state, torch.random.get_rng_state()))
"""


def test_the_readmes_snippet_cleans_a_model(tmp_path: Path) -> None:
    assert SNIPPET is not None
    snippet = SNIPPET[1]
    assert "defenses.NBA()" in snippet, "shortened here, nothing else"
    brief = "state = torch.random.get_rng_state(); cleaned = defenses.NBA(teacher=BRIEF, student=BRIEF)"
    snippet = snippet.replace("cleaned = defenses.NBA()", brief)
    code = WATCH.format(snippet=snippet)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["saves cleaned.pt", "global state True"]


def test_the_readme_shows_what_the_benchmark_measured() -> None:
    root = Path(__file__).parents[1]
    assert page(root / "results" / "speed") in (root / "README.md").read_text(encoding="utf-8")


def written(value: Any) -> str:
    """A default as the table of settings shows it; of a plan all that is set."""
    if isinstance(value, Plan):
        pairs = [(option.name, getattr(value, option.name)) for option in dataclasses.fields(value)]
        return ", ".join(f"{name}={written(inner)}" for name, inner in pairs if inner not in (None, []))
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return str(value.value) if isinstance(value, Enum) else "null" if value is None else str(value)


@pytest.mark.parametrize("name", [name for name in DEFENSES if name != "none"])
def test_every_setting_of_a_defense_stands_beside_its_authors(name: str) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if f"| {name} |" in line]
    shown = {row[1]: row[2] for row in rows if row[0] == name}
    defense = DEFENSES[name]()
    own = {option.name: written(getattr(defense, option.name)) for option in dataclasses.fields(defense)}
    assert shown == own
    assert all(row[3] and row[4] for row in rows if row[0] == name), "the authors' value, and where it stands"
