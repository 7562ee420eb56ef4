"""The rule of the house: no circle of files, a floor for every file, Hydra where it belongs. The order of the floors is
checked by import-linter, from the same list (`make check`)."""

from __future__ import annotations

import ast
import graphlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HYDRA = (
    "nba_cli.cli.",
    "hydra_plugins.",
    "nba_cli.runs.compose",
    "nba_cli.runs.hydra_errors",
    "nba_cli.runs.job_run",
    "nba_cli.runs.jobs",
    "nba_cli.reports.experiments",
)


def modules(root: Path) -> dict[str, Path]:
    """Name -> file of every module of the packages; a package's own name means its __init__."""
    files = [file for name in ("nba_cli", "attacks", "hydra_plugins") for file in (root / name).rglob("*.py")]
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported(file: Path) -> Iterator[str]:
    """What a file imports, at its top and inside its functions, by dotted names."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{file}: imports are absolute, else a circle could hide in them"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph(root: Path) -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports."""
    known = modules(root)
    found: dict[str, set[str]] = {}
    for name, file in known.items():
        targets = {word if word in known else word.rpartition(".")[0] for word in imported(file)}
        found[name] = (targets & known.keys()) - {name, "nba_cli"}  # nba_cli itself holds nothing but the version
    return found


def order(root: Path) -> list[str]:
    """The modules so that each stands behind those that it imports.

    Raises:
        graphlib.CycleError: there is a circle; names it.
    """
    return list(graphlib.TopologicalSorter(graph(root)).static_order())


def test_no_circle_of_files() -> None:
    assert len(order(ROOT)) > 100


def test_the_package_itself_imports_nothing() -> None:
    """Which is why `graph` leaves it out."""
    assert not list(imported(ROOT / "nba_cli" / "__init__.py"))


def test_a_relative_import_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from . import b")
    with pytest.raises(AssertionError, match="absolute"):
        list(imported(tmp_path / "a.py"))


def test_the_readme_shows_every_folder() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    folders = {f"{file.parent.relative_to(ROOT)}/" for file in (ROOT / "nba_cli").glob("*/__init__.py")}
    missing = [
        name
        for name in sorted({*folders, "attacks/", "conf/", "tests/", "scripts/", "hydra_plugins/"})
        if name not in text
    ]
    assert len(folders) == 10 and not missing


def test_a_circle_is_found(tmp_path: Path) -> None:
    for name, text in (("a", "from nba_cli import b"), ("b", "def later():\n    from nba_cli.c import x"),
                       ("c", "from nba_cli.a import y")):  # fmt: skip
        (tmp_path / "nba_cli").mkdir(exist_ok=True)
        (tmp_path / f"nba_cli/{name}.py").write_text(text)
    with pytest.raises(graphlib.CycleError, match="in a cycle"):
        order(tmp_path)


def floors() -> list[str]:
    """The rooms that the floors of import-linter's contract name."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = [one["layers"] for one in config["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]
    return [room.strip() for floor in layers for room in floor.split("|")]


def test_every_file_has_a_floor() -> None:
    rooms = floors()
    without = [name for name in modules(ROOT) if not any(name == room or name.startswith(f"{room}.") for room in rooms)]
    roof = [name for name in modules(ROOT) if name.startswith("hydra_plugins.")]
    assert without == ["nba_cli", *roof], "add the file to [tool.importlinter] in pyproject.toml"
    assert roof and not any(set(roof) & targets for targets in graph(ROOT).values()), "nobody imports what Hydra finds"


def test_hydra_is_imported_where_it_belongs() -> None:
    users = {name for name, file in modules(ROOT).items() if any(word.startswith("hydra") for word in imported(file))}
    assert users and all(name.startswith(HYDRA) for name in users), sorted(users)


def test_files_are_short() -> None:
    files = [*modules(ROOT).values(), *(ROOT / "scripts").rglob("*.py")]
    assert [file for file in files if len(file.read_text(encoding="utf-8").splitlines()) > 200] == [], "split it"
