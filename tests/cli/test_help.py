"""`nba COMMAND --help` and the flags: what is shown, in which width, and how a wrong flag is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import rich
from conftest import Run
from rich.console import Console

from nba_cli.cli import main
from nba_cli.cli.commands import COMMANDS
from nba_cli.cli.help import field_texts
from nba_cli.reports.headings import heading, names
from nba_cli.runs.settings import DefendRun


def shown(width: int, command: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of a command's help in a terminal of this width."""
    console = Console(force_terminal=True, width=width, record=True, color_system=None)
    monkeypatch.setattr(rich, "_console", console)
    assert main.launch(command, [*arguments, "--help"]) == 0
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 99])
def test_in_a_narrow_terminal_the_explanation_stands_below(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(width, "defend", monkeypatch=monkeypatch)
    at = lines.index("  tune   false")
    below = lines[at + 1 : at + 4]
    text = " ".join(line.strip() for line in below if line.startswith("      "))
    assert text.startswith(field_texts(DefendRun)["tune"][:50])
    assert "  defense.behavior   [response,learning,prediction]" in lines, "no value is cut"
    assert all(len(line) <= max(width, 75) for line in lines), "but for the examples, which one copies"
    assert any(line.startswith("  output    ") for line in shown(width, "table", monkeypatch=monkeypatch))


def test_in_a_wide_terminal_it_stands_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(100, "defend", monkeypatch=monkeypatch)
    (row,) = [line for line in lines if line.startswith("  overwrite ")]
    assert row.split() == ["overwrite", "false", *["do", "a", "finished", "run", "again"]]


def test_the_list_of_commands_fits_a_terminal() -> None:
    assert all(len(line) <= 80 for line in main.USAGE.splitlines())


def test_experiments_are_listed_with_their_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    for command, title in (("defend", "(+experiment=NAME)"), ("table", "(experiment=NAME)")):
        lines = shown(200, command, monkeypatch=monkeypatch)
        assert f"Experiments {title}" in lines
        for name in names():
            words = [name, *heading(name)[2].split()] if "/" not in name else [name.rpartition("/")[2]]
            assert any(line.split() == words or (len(words) == 1 and words[0] in line) for line in lines)
    assert not any("Experiments" in line for line in shown(200, "attack", monkeypatch=monkeypatch)), "none is of attack"


@pytest.mark.parametrize("command", [name for name, row in COMMANDS.items() if not row.composed])
def test_only_where_words_filter_it_says_so(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(shown(200, command, monkeypatch=monkeypatch))
    assert ("filters by a setting" in text) is (command in ("table", "plot"))


@pytest.mark.parametrize("flag", ["--config-dir {}", "--config-dir={}", "-cd {}"])
def test_choices_of_the_users_own_are_explained(nba: Run, tmp_path: Path, flag: str) -> None:
    (tmp_path / "own" / "defense").mkdir(parents=True)
    content = "defaults:\n  - /hydra/schema/defense/ft@_here_\n  - _self_\n\ntrain:\n  steps: 77\n"
    (tmp_path / "own" / "defense" / "mine.yaml").write_text(content)
    words = [*flag.format(tmp_path / "own").split(), "defense=mine"]
    code, text = nba("defend", *words, "--help", dataset=False)
    rows = [line.split() for line in text.splitlines()]
    assert code == 0 and ["defense.train.steps", "77"] in [row[:2] for row in rows]
    (group,) = [row for row in rows if row[:2] == ["defense", "now"]]
    assert group[2] == "mine" and {"mine", "nba"} <= set(group[3:])
    assert nba("defend", "--help", *words[:-1], "defense=mien", dataset=False)[0] == 2


FLAGS = [
    ("--foo", (), "--foo: nba itself has --help and --version. Other flags follow a command: nba defend --multirun."),
    (
        "-m",
        ("defend",),
        "-m: nba itself has --help and --version. Other flags follow a command: nba defend --multirun.",
    ),
    ("defend", ("--multirum",), "--multirum: there is no such flag. Did you mean '--multirun'?"),
    ("defend", ("--helf", "seed=1"), "--helf: there is no such flag. Did you mean '--help'?"),
    ("defend", ("--zzz",), "--zzz: there is no such flag. Choose from: --cfg, --config-dir, --help, --multirun."),
    ("defend", ("--dry-run",), "--dry-run: settings have no dashes in front. Write dry_run=…"),
    ("defend", ("--tune=true",), "--tune=true: settings have no dashes in front. Write tune=true"),
    ("evaluate", ("--run=runs/x",), "--run=runs/x: settings have no dashes in front. Write run=runs/x"),
    ("attack", ("--train.epochs=3",), "--train.epochs=3: settings have no dashes in front. Write train.epochs=3"),
    ("defend", ("--cfg",), "--cfg/-c: expected one argument."),
    ("defend", ("--cfg", "jobs"), "--cfg/-c: invalid choice: 'jobs' (choose from 'job', 'hydra', 'all')."),
    ("defend", ("--config-dir", "nowhere"), "--config-dir nowhere: no such folder."),
    ("defend", ("--config-dir", "nowhere", "--help"), "--config-dir nowhere: no such folder."),
]


@pytest.mark.parametrize(("command", "arguments", "line"), FLAGS)
def test_a_wrong_flag_is_refused_in_a_line(
    command: str, arguments: tuple[str, ...], line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.launch(command, list(arguments)) == 2
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", f"nba: {line}\n")


def test_presets_are_listed_by_their_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(shown(200, "defend", monkeypatch=monkeypatch))
    assert "demo/{anp,fp,ft,mcr,nad,nba}" in text and "selected/{" in text and "strong/{sig}" in text
