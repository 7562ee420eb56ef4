"""Bash completion: commands by us, groups and options by Hydra."""

from __future__ import annotations

import os
import sys

from nba_cli.cli.commands import COMMANDS


def install_script() -> str:
    """What `eval "$(nba completion)"` evaluates: asks `nba` itself for the words that fit."""
    return """_nba() {
  local IFS=$'\\n'
  COMPREPLY=($(COMP_LINE="${COMP_LINE:0:$COMP_POINT}" nba completion query))
  [[ ${COMPREPLY[0]} == *= || ${COMPREPLY[0]} == *. ]] && compopt -o nospace
  # bash splits words at "=": only what stands behind it may be replied
  local word="${COMP_LINE:0:$COMP_POINT}"; word="${word##* }"
  if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
  fi
}
complete -F _nba nba"""


def words(line: str) -> list[str]:
    """Completions of a command line up to the cursor, such as `nba defend defense=n`."""
    parts = line.split()
    typed = "" if line.endswith(" ") else parts.pop() if len(parts) > 1 else ""
    if len(parts) < 2:
        return [f"{command} " for command in COMMANDS if command.startswith(typed)]
    command = parts[1]
    if command not in COMMANDS or not COMMANDS[command].composed:
        return []
    return hydra_words(command, [part for part in parts[2:] if "=" in part], typed)


def hydra_words(command: str, overrides: list[str], typed: str) -> list[str]:
    """Groups, choices and options that fit `typed`, given what is already chosen."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    from nba_cli.files import conf_dir
    from nba_cli.runs import compose
    from nba_cli.runs.registry import CHOICES

    compose.install()
    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(str(conf_dir())))
    found = DefaultCompletionPlugin(loader)._query(config_name=command, line=" ".join([*overrides, typed]))
    # a group with a subfolder (defense/demo) is completed as a folder
    words = [f"{word}=" if word in CHOICES else word for word in found]
    return [word for word in words if not word.startswith("hydra")]


def main(arguments: list[str]) -> int:
    """`nba completion` prints the script, `nba completion query` the words for $COMP_LINE."""
    if arguments == ["query"]:
        sys.stdout.write("\n".join(words(os.environ.get("COMP_LINE", ""))))
    else:
        print(install_script())
    return 0
