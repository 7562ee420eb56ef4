"""What the READMEs say that code can check: a snippet, tables from results/, the table of settings."""

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
from nba_cli.runs import reading
from nba_cli.training import Plan
from scripts import demo, readme
from scripts.bench.page import page, read

SNIPPET = re.search(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)


BEFORE = """
import torch, nba_cli.defenses
call, states = nba_cli.defenses.NBA.__call__, []
def watched(*given):
    states.append(torch.random.get_rng_state())
    found = call(*given)
    states.append(torch.random.get_rng_state())
    return found
nba_cli.defenses.NBA.__call__ = watched
"""


AFTER = """
import os, sys
assert "hydra" not in sys.modules, "no Hydra"
assert os.listdir(".") == ["cleaned.pt"], "its last line, and nothing before it, writes"
assert type(cleaned) is victims.Tapped and cleaned is not model
assert torch.equal(*states), "torch's global state stays"
before = {name: value.clone() for name, value in network.state_dict().items()}
network.load_state_dict(torch.load("cleaned.pt"))
assert not all(torch.equal(before[name], value) for name, value in network.state_dict().items()), "something was done"
"""


def test_the_readmes_snippet_cleans_a_model_as_it_stands(tmp_path: Path) -> None:
    assert SNIPPET is not None
    code = BEFORE + SNIPPET[1] + AFTER
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_readme_shows_what_the_benchmark_measured() -> None:
    root = Path(__file__).parents[1]
    assert page(root / "results" / "speed") in (root / "README.md").read_text(encoding="utf-8")


def test_no_defense_that_was_timed_has_changed_since() -> None:
    """Files of before November 26 do not say of which version a defense was."""
    timed = read(Path(__file__).parents[1] / "results" / "speed")["defenses"]["wrn_16_1"]
    versions = {name: one["version"] for name, one in timed.items() if "version" in one}
    assert {"nba", "argd"} <= versions.keys()
    assert versions == {name: DEFENSES[name].version for name in versions}, "python -m scripts.bench defenses"


def test_the_demos_table_is_what_ten_seeds_came_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    folder = Path("results/demo")
    file, records = folder / "seeds.md", reading.read_all(folder)
    assert file.read_text(encoding="utf-8") == demo.page(records, folder, file), "make tables"
    assert len({record.get("seed") for record in records}) == 10


def test_the_readmes_tables_are_those_of_the_files_it_names() -> None:
    root = Path(__file__).parents[1]
    text = (root / "README.md").read_text(encoding="utf-8")
    assert readme.filled(text, root) == text, "make tables"
    named = [file for _, file, _ in readme.BLOCK.findall(text)]
    assert {"results/demo/seeds.md", "results/six_attacks/attack_by_attack.md"} <= set(named)


def test_only_the_table_of_a_file_is_copied_and_only_between_the_comments(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new.md").write_text("# Heading\n\n| a |\n| --- |\n| 2 |\n\nwords\n")
    unended = "<!-- table of results/new.md -->\n| old |\n\nprose\n<!-- end of table -->\n"
    assert readme.filled(unended, tmp_path) == unended, "what is no table is not replaced"
    before = "| a |\n<!-- table of results/new.md -->\n{}<!-- end of table -->\n| a |\n"
    found = readme.filled(before.format("| old |\n") * 2, tmp_path)
    assert found == before.format("| a |\n| --- |\n| 2 |\n") * 2


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
    text = (Path(__file__).parents[1] / "conf" / "defense" / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if f"| {name} |" in line]
    shown = {row[1]: row[2] for row in rows if row[0] == name}
    defense = DEFENSES[name]()
    own = {option.name: written(getattr(defense, option.name)) for option in dataclasses.fields(defense)}
    assert shown == own
    assert all(row[3] and row[4] for row in rows if row[0] == name), "the authors' value, and where it stands"
