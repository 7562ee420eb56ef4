"""Console script `nba`: picks the command and hands over to Hydra. Imports no torch: `nba --help` is instant."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any, TextIO, cast

import nba_cli

COMMANDS = {
    "preview": "what the triggers look like, without training: a sheet of pictures",
    "attack": "poison a training set and train a victim on it",
    "defend": "clean a victim of its backdoor and measure before and after",
    "evaluate": "measure a finished run, or weights of your own, under a trigger",
    "table": "finished runs as a table: nba table [option=value | setting=value ...]; nba table --help",
    "plot": "curves of finished runs as PNG and SVG; nba plot --help",
    "status": "what is finished, running, interrupted or failed: nba status [output=FOLDER]",
    "doctor": "versions, device, data sets, disk, and a five-second speed check",
    "completion": 'bash completion; put into ~/.bashrc: eval "$(nba completion)"',
}

USAGE = f"""nba {nba_cli.__version__}: attack and defend neural networks with backdoors, and measure it honestly.

Usage: nba COMMAND [group=choice ...] [option=value ...]

Commands:
{chr(10).join(f"  {name:<11}{text}" for name, text in COMMANDS.items())}

  nba COMMAND --help        what it does, examples, all groups and options
  nba COMMAND --cfg job     the composed settings, without running anything
  nba COMMAND --multirun    a run for every combination: defense=none,ft,nba seed=0,1,2
  nba --version

Try it: nba preview, then nba defend attack=blend defense=nba
"""


INTERRUPTED = "interrupted; the same command goes on: a victim after its last finished epoch, a defense anew"


def conf_dir() -> Path:
    """The configs: inside the package in a wheel, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a defect (with traceback), 2 bad input (one line), 130 interrupted."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("--help", "-h", "help"):
        print(USAGE, end="")
        return
    if command == "--version":
        from nba_cli import provenance

        print(f"nba {nba_cli.__version__} ({provenance.commit()})")
        return
    if command == "completion":
        from nba_cli import completion

        completion.show(arguments, list(COMMANDS))
        return
    sys.exit(launch(command, arguments))


def launch(command: str, arguments: list[str]) -> int:
    """Run `command`; returns the exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, so that errors become our one line
    from nba_cli.errors import Refused, did_you_mean, killed, one_line

    try:
        if command not in COMMANDS:
            raise Refused(f"{command}: there is no such command. {did_you_mean(command, COMMANDS)}")
        return RUNNERS.get(command, hydra_app)(command, arguments)
    except KeyboardInterrupt:
        print(f"\n{INTERRUPTED}", file=sys.stderr)
        return 130
    except Exception as error:
        if died := killed(error):
            print(f"nba: {died}", file=sys.stderr)
            return 1
        line = one_line(error)
        if line is None:
            raise
        print(f"nba: {line}", file=sys.stderr)
        return 2


def hydra_app(command: str, arguments: list[str]) -> int:
    """attack, defend, evaluate: Hydra composes the settings and calls the task, or shows help."""
    from nba_cli import app
    from nba_cli.errors import Refused

    app.install()
    if {"--help", "-h"} & set(arguments):
        from nba_cli import helptext

        helptext.show(command, [word for word in arguments if not word.startswith("-")])
        return 0
    if {"--multirun", "-m"} & set(arguments) and {"--cfg", "-c"} & set(arguments):
        raise Refused("--multirun runs, --cfg only shows: give one of them. --cfg job shows the settings of one job.")
    import hydra

    if {"--multirun", "-m"} & set(arguments):
        arguments = later(arguments)
    # Hydra's parser wants its flags first; a user may write them anywhere
    words = sorted(arguments, key=lambda word: word[:1] != "-" and ("=" in word or word[:1] in ("+", "~")))
    sys.argv = [f"nba {command}", *words]
    code = 0
    try:
        with contextlib.redirect_stderr(cast(TextIO, Quiet(sys.stderr))):
            hydra.main(config_path=str(conf_dir()), config_name=command, version_base="1.3")(app.TASKS[command])()
    finally:
        if app.Sweep.current is not None:
            code = app.Sweep.current.conclude()
    return code


def later(words: list[str]) -> list[str]:
    """Leave the options of a part that a sweep varies to its jobs, by making each a sweep over its one value.

    Hydra would try `defense.train.steps=5` on the default defense first, even with defense=ft,nad.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import OverrideType

    settings = [word for word in words if "=" in word and not word.startswith("-")]
    parsed = OverridesParser.create().parse_overrides(settings)
    swept = {str(each.key_or_group) for each in parsed if each.is_sweep_override()}
    waiting = {}
    for word, each in zip(settings, parsed, strict=True):
        part, dot, _ = str(each.key_or_group).partition(".")
        name, _, value = word.partition("=")
        if dot and value and part in swept and each.type is OverrideType.CHANGE and not each.is_sweep_override():
            waiting[word] = f"{name}=choice({value})"
    return [waiting.get(word, word) for word in words]


def status(command: str, arguments: list[str]) -> int:
    from nba_cli import logs, status
    from nba_cli.errors import Refused

    given = {word.partition("=")[0]: word.partition("=")[2] for word in arguments}
    if given.keys() - {"output"}:
        raise Refused(f"nba status {' '.join(arguments)}: it takes one option, output=FOLDER.")
    logs.setup()
    status.show(Path(given.get("output", "runs")))
    return 0


def read(command: str, arguments: list[str]) -> int:
    from nba_cli import logs

    logs.setup()
    if {"--help", "-h"} & set(arguments):
        from nba_cli import helptext

        helptext.show_reader(command)
        return 0
    from nba_cli import plot, table

    {"table": table.show, "plot": plot.show}[command](arguments)
    return 0


def doctor(command: str, arguments: list[str]) -> int:
    from nba_cli import doctor, logs
    from nba_cli.errors import Refused

    if arguments:
        raise Refused(f"nba doctor {' '.join(arguments)}: it takes no options.")
    logs.setup()
    doctor.show()
    return 0


RUNNERS = {"status": status, "table": read, "plot": read, "doctor": doctor}


class Quiet:
    """stderr without Hydra's "Error executing job with overrides: [...]", which precedes every failure of a job."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith("Error executing job with overrides:") else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
