"""Console script `nba`: picks the command and hands over. Imports no torch: `nba --help` is instant."""

from __future__ import annotations

import os
import sys
from functools import partial

import nba_cli
from nba_cli.cli import streams
from nba_cli.cli.commands import COMMANDS

USAGE = f"""nba {nba_cli.__version__}: backdoors of neural networks: attacks, defenses, honest measurement.

Usage: nba COMMAND [group=choice ...] [option=value ...]

Commands:
{chr(10).join(f"  {name:<11}{command.summary}" for name, command in COMMANDS.items())}

  nba COMMAND --help        what it does, examples, all groups and options
  nba COMMAND --cfg job     the composed settings, without running anything
  nba COMMAND --multirun    a run for each combination: defense=none,ft seed=0,1
  nba --version

Try it: nba preview, then nba defend attack=blend defense=nba
"""
TORCHRUN = "TORCHELASTIC_RUN_ID"  # in the environment of the processes that torchrun starts
HELP = {"--help", "-h"}
SHOWN = {"--cfg", "-c", "--info", "-i"}  # of what is shown and not done
INTERRUPTED = (
    "Interrupted. Run the same command to resume: a victim continues after its last finished epoch, a defense starts "
    "over."
)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a defect (with traceback), 2 bad input (one line), 130 interrupted."""
    streams.install()
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in (*HELP, "help", "--version") and TORCHRUN in os.environ and os.environ.get("RANK", "0") != "0":
        return  # of torchrun's processes the first one says it
    if command in (*HELP, "help"):
        print(USAGE, end="")
        code = 0
    elif command == "--version":
        from nba_cli.runs import provenance

        print(f"nba {nba_cli.__version__} ({provenance.commit()})")
        code = 0
    else:
        code = launch(command, arguments)
    runs = (
        command in COMMANDS
        and COMMANDS[command].composed
        and not (HELP | SHOWN) & {word.partition("=")[0] for word in arguments}
    )
    if code := streams.settled(code, elsewhere=runs):
        sys.exit(code)


def launch(command: str, arguments: list[str]) -> int:
    """Run `command`, of torchrun's processes on the first alone; returns the exit code."""
    if TORCHRUN not in os.environ:
        return attempt(command, arguments)
    from nba_cli import ranks

    return ranks.run(partial(attempt, command, arguments), needed="nba_cli.pipeline.collective")


def attempt(command: str, arguments: list[str]) -> int:
    """Run `command`, and say in a line what went wrong; returns the exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing, so that errors become our one line
    from nba_cli.runs.hydra_errors import one_line, stopped

    try:
        return run(command, arguments)
    except KeyboardInterrupt:
        print(f"\n{INTERRUPTED}", file=sys.stderr)
        return 130
    except Exception as error:
        if why := stopped(error):
            print(f"nba: {why}", file=sys.stderr)
            return 1
        line = one_line(error)
        if line is None:
            raise
        print(f"nba: {line}", file=sys.stderr)
        return 2


def run(command: str, arguments: list[str]) -> int:
    """Show the help of `command`, or run it.

    Raises:
        Refused: there is no such command, or it refuses its arguments.
    """
    from nba_cli.errors import Refused, did_you_mean

    if command.startswith("-"):
        raise Refused(
            f"{command}: nba itself has --help and --version. Other flags follow a command: nba defend --multirun."
        )
    if command not in COMMANDS:
        raise Refused(f"{command}: there is no such command. {did_you_mean(command, COMMANDS)}")
    if strange := [
        word for word in arguments if not word.isprintable() and any("\ud800" <= c <= "\udfff" for c in word)
    ]:
        raise Refused(f"{strange[0]!a}: these bytes are no text in {sys.getfilesystemencoding()}. Rename the file.")
    if COMMANDS[command].arguments and not HELP & set(arguments):
        return COMMANDS[command].load()(arguments)  # what a shell asks for; the console would slow it down
    from nba_cli import console

    console.setup()
    if HELP & set(arguments):
        from nba_cli.cli import help

        return help.main(command, [word for word in arguments if word not in HELP])
    if COMMANDS[command].composed:
        return COMMANDS[command].load()(command, arguments)
    return COMMANDS[command].load()(arguments)
