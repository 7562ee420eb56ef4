"""Completion in bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nba_cli.cli import completion


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "nba ",
            {"preview ", "attack ", "defend ", "evaluate ", "table ", "plot ", "status ", "doctor ", "completion "},
        ),
        ("nba de", {"defend "}),
        ("nba defend def", {"defense=", "defense.", "defense_seed="}),
        ("nba defend defense=n", {"defense=nad", "defense=nba", "defense=none"}),
        ("nba defend defense=nba defense.ps", {"defense.pseudo="}),
        ("nba defend attack=blend attack.al", {"attack.alpha="}),
        ("nba frobnicate x", set()),
        ("nba doctor x", set()),
    ],
)
def test_completion_words(line: str, wanted: set[str]) -> None:
    assert set(completion.words(line)) == wanted


def test_bash_completes_in_a_real_shell(tmp_path: Path) -> None:
    """The script that users evaluate, asked as bash asks it."""
    fake = tmp_path / "nba"
    fake.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from nba_cli.cli.main import main; main()" "$@"\n')
    fake.chmod(0o755)
    script = f"""
    {completion.install_script()}
    COMP_LINE="nba defend defense=n"; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=(nba defend defense = n); COMP_CWORD=4
    compopt() {{ :; }}
    _nba; printf '%s\n' "${{COMPREPLY[@]}}"
    """
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["nad", "nba", "none"], "what stands behind the = sign"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """As `nba completion | head -1`; the pipe is closed before anything is written."""
    run = "import sys; sys.argv = ['nba', 'completion']; sys.stdin.read(); from nba_cli.cli.main import main; main()"
    pipe = subprocess.PIPE
    command = [sys.executable, "-u", "-c", run]
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout and process.stdin and process.stderr
        process.stdout.close()
        process.stdin.close()
        said = process.stderr.read()
    assert process.returncode == 0 and said == ""
