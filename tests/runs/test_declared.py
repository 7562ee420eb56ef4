"""What the parts declare, kept so that tables need not import them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Run
from records import put

from nba_cli.runs import declared
from nba_cli.runs.registry import GROUPS
from nba_cli.runs.settings import RUNS

ASK = declared.of_classes


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each time that the classes are asked. The cache is empty, and one source file is watched."""
    found: list[int] = []

    def ask() -> declared.Declared:
        found.append(1)
        return ASK()

    monkeypatch.setattr(declared, "of_classes", ask)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / "part.py").write_text("rate = 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(declared, "PACKAGES", ("watched",))
    return found


def afresh() -> declared.Declared:
    """What another process would find."""
    declared.declared.cache_clear()
    return declared.declared()


def test_the_classes_are_asked_again_only_when_a_source_file_has_changed(asked: list[int], tmp_path: Path) -> None:
    assert afresh() == afresh() == ASK() and len(asked) == 1
    assert str(afresh()) == str(ASK()), "1 is not kept as 1.0, nor in another order"
    for number, (name, content) in enumerate((("part", "rate = 0.25\n"), ("part", "rate = 0.35\n"), ("new", "")), 2):
        (tmp_path / "watched" / f"{name}.py").write_text(content)
        assert afresh() == ASK() and len(asked) == number


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sources": "'])
def test_a_damaged_file_is_made_again(asked: list[int], content: str) -> None:
    afresh()
    declared.kept_in().write_text(content)
    assert afresh() == afresh() == ASK() and len(asked) == 2


def test_where_nothing_can_be_kept_the_classes_are_asked(asked: list[int], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert afresh() == afresh() == ASK() and len(asked) == 2


def test_beside_parts_of_other_packages_nothing_is_kept(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Their files are not watched."""
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: SimpleNamespace(groups={"nba.attack"}))
    monkeypatch.setattr(declared, "of_classes", lambda: asked.append(1) or "asked")
    assert [afresh(), afresh()] == ["asked", "asked"] and len(asked) == 2 and not declared.kept_in().exists()


def test_whoever_makes_runs_keeps_it_for_their_tables(asked: list[int], nba: Run) -> None:
    declared.declared.cache_clear()
    assert nba("attack", "--cfg", "job")[0] == 0 and declared.kept_in().is_file() and len(asked) == 1


def test_every_package_that_declares_something_is_watched() -> None:
    declaring = {*RUNS.values(), *(cls for registry in GROUPS.values() for cls in registry.values())}
    assert {cls.__module__.partition(".")[0] for cls in declaring} == set(declared.PACKAGES)


@pytest.mark.parametrize("command", ["table", "plot"])
def test_tables_and_plots_leave_pytorch_alone(command: str, root: Path) -> None:
    """It takes longer to import than thousands of runs take to read."""
    put(root, "old", "blend", "nba", 3, (0.5, 0.5, 0.5), defense__beta=3.0)
    afresh()
    words = [f"output={root}", "file=table.html"] if command == "table" else [f"output={root}", "x=defense.beta"]
    code = (
        "import sys\n"
        "from nba_cli.cli.main import launch\n"
        f"code = launch({command!r}, {words!r})\n"
        "sys.exit(code or 10 * ('torch' in sys.modules) + 20 * ('hydra' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
