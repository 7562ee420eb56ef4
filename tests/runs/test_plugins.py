"""An attack from another package: an entry point and a YAML of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
from dataclasses import dataclass
from torch import Tensor
from attacks import Attack

@dataclass(kw_only=True)
class Corner(Attack):
    \"\"\"x' = x with one white pixel.

    Fields:
        row: which row
    \"\"\"

    row: int = 0

    def stamp(self, images: Tensor, index: Tensor, *, train: bool = False) -> Tensor:
        out = images.clone()
        out[:, :, self.row, 0] = 1
        return out

Nameless = type("Hidden", (Corner,), {})
"""


YAML = "defaults:\n  - /hydra/schema/attack/corner@_here_\n  - _self_\n\nrow: 2\n"


def install(site: Path, name: str, target: str, code: str = CODE) -> None:
    """What pip leaves behind: a module and its metadata."""
    (site / "corner_attack.py").write_text(code)
    info = site / "corner_attack-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: corner-attack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[nba.attack]\n{name} = {target}\n")


def nba(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from nba_cli.cli.main import main; main()"
    environment = os.environ | {"PYTHONPATH": str(site), "COLUMNS": "120"}
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)


def test_an_installed_attack_runs_and_is_recorded(tmp_path: Path, tiny_file: Path) -> None:
    site, conf = tmp_path / "site", tmp_path / "conf"
    site.mkdir()
    install(site, "corner", "corner_attack:Corner")
    (conf / "attack").mkdir(parents=True)
    (conf / "attack/corner.yaml").write_text(YAML)
    data = ["dataset=npz", f"dataset.path={tiny_file}", "victim.depth=10", "train.epochs=1"]
    done = nba(site, "attack", "--config-dir", str(conf), "attack=corner", *data, f"output={tmp_path}/runs")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs/attack").glob("npz-wrn_10_1-corner-s0-*")
    settings = json.loads((folder / "metrics.json").read_text())["settings"]["attack"]
    assert settings["kind"] == "corner" and settings["row"] == 2
    again = nba(site, "evaluate", f"run={folder}", f"output={tmp_path}/runs")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("corner", "corner_attack:Missing", "cannot be loaded"),
        ("blend", "corner_attack:Corner", "there already is a part of that name in the group attack"),
        ("corner", "corner_attack:Tensor", "must be a subclass of attacks.base.Attack"),
        ("corner", "corner_attack:Nameless", "its class has to be importable by its own name"),
    ],
)
def test_a_broken_plugin_is_named(tmp_path: Path, name: str, target: str, message: str) -> None:
    install(tmp_path, name, target)
    done = nba(tmp_path, "attack", "--cfg", "job")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "of package corner-attack" in done.stderr and message in done.stderr
