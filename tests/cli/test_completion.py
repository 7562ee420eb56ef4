"""Completion: the words that fit, how soon they come, and what TAB makes of them in each shell."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Run

from nba_cli.cli import completion, main, shells, vocabulary
from nba_cli.cli.commands import COMMANDS
from nba_cli.reports import request
from nba_cli.reports.formats import FORMATS
from nba_cli.runs import declared
from nba_cli.runs.settings import DefendRun, option_names


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("nba ", set(COMMANDS)),
        ("nba --", {"--help", "--version"}),
        ("nba de", {"defend"}),
        ("OMP_NUM_THREADS=1 nba de", {"defend"}),
        ("nba defend def", {"defense=", "defense.", "defense_seed="}),
        ("nba defend defense=n", {"defense=nad", "defense=nba", "defense=none"}),
        ("nba defend defense=demo/n", {"defense=demo/nad", "defense=demo/nba"}),
        ("nba defend defense=d", {"defense=demo/"}),
        ("nba defend defense=nba,no", {"defense=nba,none"}),
        ("nba defend defense=nba defense.ps", {"defense.pseudo=", "defense.pseudo_share="}),
        ("nba defend defense.pseudo=m", {"defense.pseudo=mixed"}),
        ("nba defend defense=ft defense.", {"defense.train."}),
        ("nba defend defense=demo/ft defense.", {"defense.train."}),
        ("nba defend defense=demo/ft defense.train.l", {"defense.train.lr="}),
        ("nba defend defense=ft,nba defense.t", {"defense.tau=", "defense.teacher.", "defense.train."}),
        ("nba defend +experiment=demo defense.cr", {"defense.craft_steps="}),
        (
            "nba defend defense.behavior=[response,le",
            {"defense.behavior=[response,learning,", "defense.behavior=[response,learning]"},
        ),
        ("nba defend +", {"+experiment="}),
        ("nba defend +experiment=six", {"+experiment=six_attacks"}),
        ("nba defend hydra/launcher=p", {"hydra/launcher=parallel", "hydra/launcher=processes"}),
        ("nba defend snap", {"snapshots="}),
        ("nba defend snapshots=", {"snapshots=true", "snapshots=false"}),
        ("nba defend device=cu", {"device=cuda"}),
        ("nba defend --m", {"--multirun"}),
        ("nba defend --cfg ", {"job", "hydra", "all"}),
        ("nba attack attack=blend attack.al", {"attack.alpha="}),
        ("nba evaluate attack.", set()),
        ("nba evaluate attack=blend attack.al", {"attack.alpha="}),
        ("nba evaluate attack=nonsense attack.alp", {"attack.alpha="}),
        ("nba table fi", {"file=", "figures="}),
        ("nba table experiment=six", {"experiment=six_attacks"}),
        ("nba table compare=pub", {"compare=published"}),
        ("nba plot compare=pub", {"compare=published"}),
        ("nba table log", set()),
        ("nba table logger=", set()),
        ("nba table logger=wandb logger.", set()),
        ("nba defend log", {"logger="}),
        ("nba table defense=d", set()),
        ("nba table defense.pseudo=m", {"defense.pseudo=mixed"}),
        ("nba plot k", {"kind="}),
        ("nba plot kind=", {"kind=training", "kind=defense", "kind=sweep"}),
        ("nba status ", {"output="}),
        ("nba doctor ", set()),
        ("nba doctor --", {"--help"}),
        ("nba doctor experiment=", set()),
        ("nba completion ", {"bash", "zsh", "fish"}),
        ("nba frobnicate x", set()),
        ("nba defend nonsense=", set()),
    ],
)
def test_completion_words(line: str, wanted: set[str]) -> None:
    found = completion.words(line)
    assert set(found) == wanted and len(found) == len(wanted)


def test_options_come_from_where_they_are_declared() -> None:
    assert {f"{name}=" for name in request.OPTIONS} <= set(completion.words("nba table "))
    assert set(completion.words("nba table format=")) == {f"format={name}" for name in (*FORMATS, "terminal")}
    assert completion.words("nba table layout=m") == ["layout=matrix"]
    shown = set(completion.words("nba defend "))
    assert all(f"{name}=" in shown or f"{name}." in shown for name in option_names(DefendRun))


def test_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "models" / "old one").mkdir(parents=True)
    for name in ("models/m.pt", "models/.hidden", "mine.csv"):
        (tmp_path / name).write_text("")
    for option in ("defend weights", "evaluate trigger", "table file", "plot file", "attack attack=blend attack.key"):
        *_, name = option.split()
        assert completion.words(f"nba {option}=mo") == [f"{name}=models/"]
        assert completion.words(f"nba {option}=models/") == [f"{name}=models/m.pt", f"{name}=models/old one/"]
    assert completion.words("nba evaluate weights=models/.") == ["weights=models/.hidden"]
    assert completion.words("nba evaluate weights=~/mo") == ["weights=~/models/"]
    for option in ("evaluate run", "defend output", "table output", "status output", "attack dataset.root"):
        *_, name = option.split()
        assert completion.words(f"nba {option}=m") == [f"{name}=models/"], "folders alone"
    assert completion.words("nba defend --config-dir m") == ["models/"]
    assert completion.words("nba defend weights=models/old\\ o") == ["weights=models/old one/"]
    assert completion.words("nba defend weights='models/old o") == ["weights=models/old one/"]
    for quote in ("'", '"'):
        assert completion.words(f"nba defend {quote}weights=models/old ") == ["weights=models/old one/"]
        assert completion.words(f"nba defend {quote}weights=models/old one{quote} sna") == ["snapshots="]
        assert "attack=" in completion.words(f"nba defend {quote}weights=models/old one{quote} ")
    assert completion.words("nba defend weights=nowhere/m") == []


@pytest.mark.parametrize("flag", ["--config-dir {}", "--config-dir={}", "-cd {}"])
def test_choices_of_the_users_own(tmp_path: Path, flag: str) -> None:
    (tmp_path / "defense").mkdir()
    for name, base in (("mine", "ft"), ("mine_too", "/defense/mine@_here_"), ("round", "round")):
        (tmp_path / "defense" / f"{name}.yaml").write_text(f"defaults:\n  - {base}\n  - _self_\n")
    (tmp_path / "defense" / "broken.yaml").write_text("defaults: [")
    line = f"nba defend {flag.format(tmp_path)}"
    assert completion.words(f"{line} defense=mi") == ["defense=mine", "defense=mine_too"]
    for name in ("mine", "mine_too"):
        assert completion.words(f"{line} defense={name} defense.") == ["defense.train."]
    for name in ("round", "broken"):
        assert "defense.pseudo=" in completion.words(f"{line} defense={name} defense."), "it cannot be told, so all"


def test_parts_of_other_packages_are_looked_up_when_their_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = SimpleNamespace(group="nba.defense", name="mine", module="my_single_file", value="my_single_file:Mine")
    found = SimpleNamespace(groups={"nba.defense", "console_scripts"})
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group=None: [entry] if group else found)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    asked = []
    made = vocabulary.of_classes()
    monkeypatch.setattr(vocabulary, "of_classes", lambda: asked.append(1) or made)
    for number, content in enumerate(("one = 1\n", "three = 3\n"), 1):
        (tmp_path / "my_single_file.py").write_text(content)
        for _ in range(2):
            vocabulary.vocabulary.cache_clear()  # as in another process
            assert vocabulary.vocabulary() == made and len(asked) == number
    vocabulary.vocabulary.cache_clear()


def keep() -> None:
    """Another process is to find it kept, where the cache of this test lies."""
    vocabulary.vocabulary.cache_clear()
    vocabulary.vocabulary()


def query(line: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """What a shell gets, from a process of its own, which runs `code` at its end."""
    run = f"import sys\nsys.argv = ['nba', 'completion', 'query']\nfrom nba_cli.cli.main import main\nmain()\n{code}"
    return subprocess.run(
        [sys.executable, "-c", run], env=os.environ | {"COMP_LINE": line}, capture_output=True, text=True
    )


def test_tab_imports_nothing_heavy() -> None:
    keep()
    code = "sys.exit(', '.join({'torch', 'hydra', 'omegaconf', 'rich', 'numpy', 'filelock'} & set(sys.modules)) or 0)"
    for line in ("nba defend defense=ft defense.", "nba table defense=n", "nba defend defense=n"):
        done = query(line, code)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout


def test_whoever_makes_runs_keeps_it_for_completion(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    vocabulary.vocabulary.cache_clear()
    assert nba("attack", "--cfg", "job")[0] == 0 and declared.kept_in("completion").is_file()


def test_each_shell_has_its_script(nba: Run) -> None:
    lines = {"bash": "complete -F _nba nba", "zsh": "compdef _nba nba", "fish": "complete -c nba -f -a "}
    assert set(lines) == set(COMMANDS["completion"].arguments)
    for shell, line in lines.items():
        script = shells.SCRIPTS[shell]
        assert script.splitlines()[-1].startswith(line) and "nba completion query 2>/dev/null" in script
    assert not any(line.lstrip().startswith("#") for line in shells.SCRIPTS["zsh"].splitlines()), "no comments there"


def test_the_script_is_bashs_unless_another_shell_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, shell in (([], "bash"), (["bash"], "bash"), (["zsh"], "zsh"), (["fish"], "fish")):
        assert main.launch("completion", arguments) == 0
        assert capsys.readouterr().out == f"{shells.SCRIPTS[shell]}\n"
    assert main.launch("completion", ["csh"]) == 2
    assert capsys.readouterr().err == "nba: nba completion csh: not a shell that it knows. Did you mean 'zsh'?\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder whose `nba` answers completion as ours does, and writes down what else it is called with."""
    (tmp_path / "my models").mkdir()
    (tmp_path / "my models" / "m.pt").write_text("")
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "nba"
    ours = f'exec {shlex.quote(sys.executable)} -c "from nba_cli.cli.main import main; main()" "$@"'
    fake.write_text(f'#!/bin/sh\n[ "$1" = completion ] && {ours}\nprintf "%s\\n" "$@" > called\n')
    fake.chmod(0o755)
    keep()
    return tmp_path


START = {
    "bash": ["bash", "--noprofile", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
LOAD = {
    "bash": 'eval "$(nba completion)"',
    "zsh": 'autoload -Uz compinit; compinit -u -D; eval "$(nba completion zsh)"',
    "fish": "nba completion fish | source",
}


def typed(shell: str, keys: str, home: Path) -> list[str]:
    """What `nba` is called with when these keys are pressed in a terminal."""
    root = Path(__file__).parents[2]
    environment = os.environ | {
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "HOME": str(home),
        "TERM": "dumb" if shell != "zsh" else "vt100",
    }
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(home)
        os.execvpe(START[shell][0], START[shell], environment)
    said, deadline = b"", time.monotonic() + 60
    try:
        os.write(terminal, f"{LOAD[shell]}\n{keys}\n".encode())
        while not (home / "called").is_file() and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.05)[0]:
                said += os.read(terminal, 4096)
        assert (home / "called").is_file(), said.decode(errors="replace")
        time.sleep(0.05)
        return (home / "called").read_text().splitlines()
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)
        os.close(terminal)


@pytest.mark.parametrize("shell", START)
def test_tab_in_a_real_shell(shell: str, home: Path) -> None:
    """A space follows what is complete, and none what goes on; what holds a space is quoted."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    keys = "nba def\tdefense=nb\t'defense.behavior=[response,le\t]' wei\tmy\tm\tdevice=cuda:0 output=my\t"
    parts = ["defense=nba", "defense.behavior=[response,learning]"]
    assert typed(shell, keys, home) == [
        "defend",
        *parts,
        "weights=my models/m.pt",
        "device=cuda:0",
        "output=my models/",
    ]


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
