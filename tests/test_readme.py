"""The README's snippet for notebooks, as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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
