"""What goes to the package index: an installed wheel holds all that nba reads, the archive of sources is whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def shown(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """What a command prints; it has to end well."""
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive of the sources, and the wheel made from it."""
    folder = tmp_path_factory.mktemp("dist")
    shown(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ".", cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the wheel, beside nothing else; the rest comes from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = built.glob("*.whl")
    offline = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    shown(sys.executable, "-m", "pip", "install", *offline, "--target", folder, wheel, cwd=folder)
    return folder


def test_an_installed_wheel_holds_every_file_that_nba_reads(installed: Path) -> None:
    for package in ("nba_cli", "attacks", "hydra_plugins"):
        tracked = {file.relative_to(ROOT) for file in (ROOT / package).rglob("*") if file.is_file()}
        wanted = {file for file in tracked if "__pycache__" not in file.parts}
        assert [file for file in sorted(wanted) if not (installed / file).is_file()] == []
    configs = {file.relative_to(ROOT / "conf") for file in (ROOT / "conf").rglob("*.yaml")}
    assert configs == {file.relative_to(installed / "nba_cli/conf") for file in installed.rglob("conf/**/*.yaml")}
    named = ("data/fashion_mini.npz", "reports/published.csv", "reports/formats/page.css", "reports/formats/page.js")
    assert all((installed / "nba_cli" / name).stat().st_size for name in named)
    assert (installed / "nba_cli" / "py.typed").is_file() and (installed / "attacks" / "py.typed").is_file()


def test_an_installed_wheel_reads_its_own_files(installed: Path, tmp_path: Path) -> None:
    assert "Usage: nba COMMAND" in shown(installed / "bin" / "nba", "--help", cwd=tmp_path, path=installed)
    where = "import nba_cli.files, nba_cli.reports.published as p; print(nba_cli.files.conf_dir(), p.__file__)"
    found = shown(sys.executable, "-c", where, cwd=tmp_path, path=installed).split()
    assert found == [str(installed / "nba_cli" / "conf"), str(installed / "nba_cli" / "reports" / "published.py")]


@pytest.mark.slow
def test_an_installed_wheel_trains_on_the_bundled_images(installed: Path, tmp_path: Path) -> None:
    short = ("victim.depth=10", "train.epochs=null", "train.steps=1", "train.batch=16", "reference=false", "device=cpu")
    shown(installed / "bin" / "nba", "attack", "attack=blend", *short, cwd=tmp_path, path=installed)
    assert len(list(tmp_path.rglob("runs/attack/fashion_mini-*/metrics.json"))) == 1


def test_the_archive_of_the_sources_holds_what_a_checkout_does(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()}
    tracked = {name for name in shown("git", "ls-files", cwd=ROOT).splitlines() if not name.startswith(".")}
    assert sorted(tracked - held) == []


def test_nobody_is_told_to_install_from_the_index_what_is_not_there_yet() -> None:
    names = [name for name in shown("git", "ls-files", cwd=ROOT).splitlines() if name.endswith((".md", ".py", ".yaml"))]
    told = re.compile(r"install\s+(-\S+\s+)?['\"]?nba-cli")
    assert [name for name in names if told.search((ROOT / name).read_text(encoding="utf-8"))] == []
