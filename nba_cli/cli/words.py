"""The words of a command line: settings, and Hydra's flags with their values."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, OverrideType, Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode

from nba_cli.cli.commands import FLAGS
from nba_cli.cli.vocabulary import vocabulary
from nba_cli.errors import Refused, did_you_mean
from nba_cli.files import choices, conf_dir
from nba_cli.runs.command_line import in_quotes
from nba_cli.runs.registry import CHOICES, GROUPS


def is_setting(word: str) -> bool:
    """Whether it is an override, and no flag or the value of one."""
    return word[:1] != "-" and ("=" in word or word[:1] in ("+", "~"))


def recorded(words: Sequence[str]) -> list[str]:
    """The settings that may be written down: not where a run is shown, whose address may hold a password."""
    return [word for word in words if part_of(word) not in CHOICES or part_of(word) in GROUPS]


def part_of(word: str) -> str:
    """What a setting belongs to: "logger" of logger.uri=x, of logger=mlflow and of ~logger."""
    return re.split("[.@=]", word.lstrip("+~"))[0]


def flags_first(words: Sequence[str]) -> list[str]:
    """Hydra's parser wants its flags first; a user may write them anywhere."""
    return sorted(words, key=is_setting)


def refuse_dashes(word: str) -> None:
    """
    Raises:
        Refused: `word` is a setting of some command, written as a flag.
    """
    flag, _, value = word.partition("=")
    setting, known = flag.lstrip("-").replace("-", "_"), vocabulary()
    heads = {option.partition(".")[0] for each in known.options.values() for option in each} | set(known.parts)
    if setting.partition(".")[0] in heads:
        raise Refused(f"{word}: settings have no dashes in front. Write {setting}={value or '…'}")


def flags(words: Sequence[str]) -> argparse.Namespace:
    """Hydra's flags among the words, and the settings as `overrides`.

    Raises:
        Refused: a flag that Hydra does not have, or one without its value, or a folder that is not there; or a word
            that is neither flag nor setting.
    """
    for word in words:
        if word[:2] == "--" and "=" in word:  # before Hydra's parser, which has a flag --run of its own
            refuse_dashes(word)
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        asked, unknown = parser.parse_known_args(flags_first(words))
    except argparse.ArgumentError as error:
        raise Refused(f"{error.argument_name}: {error.message}.") from error
    if unknown:
        refuse_dashes(unknown[0])
        raise Refused(f"{unknown[0]}: there is no such flag. {did_you_mean(unknown[0], ['--help', *FLAGS])}")
    if asked.config_dir and not Path(asked.config_dir).is_dir():
        raise Refused(f"--config-dir {asked.config_dir}: no such folder.")
    for word in asked.overrides:
        if "=" not in word and word[:1] != "~":
            group = next((group for group in CHOICES if word in choices(group)), None)
            near = f" Did you mean {group}={word}?" if group else ""
            raise Refused(f"{in_quotes(word)}: settings are written option=value.{near}")
    return asked


def composable(asked: argparse.Namespace) -> list[str]:
    """The settings, with where to look for configs of the user's own, as Hydra's `compose` takes them."""
    if not asked.config_dir:
        return asked.overrides
    own = QuotedString(text=f"file://{Path(asked.config_dir).resolve()}", quote=Quote.double)
    return [*asked.overrides, f"hydra.searchpath=[{own.with_quotes()}]"]


def asks_for_a_sweep(stage: str, asked: argparse.Namespace) -> bool:
    """Whether it is a sweep: by --multirun, or because what is composed asks for one, as experiments do."""
    if asked.multirun:
        return True
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composer = GlobalHydra.instance().hydra
        return composer is not None and composer.get_mode(stage, composable(asked)) is RunMode.MULTIRUN


def check_choices(words: list[str]) -> None:
    """Check that parts are chosen by names: Hydra's own refusal of a number or a list does not say whose it is.

    Raises:
        Refused: one is not.
    """
    for word in filter(is_setting, words):
        with contextlib.suppress(HydraException):  # which Hydra is about to raise itself
            (override,) = OverridesParser.create().parse_overrides([word])
            group, value = str(override.key_or_group), override.value()
            if group in CHOICES and override.is_delete():
                none = f" or {group}=none" if "none" in choices(group) else ""
                raise Refused(f"{word}: parts are replaced, not deleted. Choose another by {group}=…{none}.")
            for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
                if group in CHOICES and not isinstance(choice, (str, QuotedString, Glob)):
                    near = did_you_mean(str(choice), choices(group))
                    raise Refused(f"{word}: there is no such {group}. {near}")


def leave_to_jobs(words: list[str]) -> list[str]:
    """Leave the options of a part that a sweep varies to its jobs, by making each a sweep over its one value.

    Hydra would try `defense.train.steps=5` on the default defense first, even with defense=ft,nad.
    """
    settings = [word for word in words if is_setting(word) and "=" in word]
    parsed = dict(zip(settings, OverridesParser.create().parse_overrides(settings), strict=True))
    swept = {str(each.key_or_group) for each in parsed.values() if each.is_sweep_override()}

    def left(word: str) -> str:
        each = parsed.get(word)
        if each is None or each.type is not OverrideType.CHANGE or each.is_sweep_override():
            return word
        part, dot, _ = str(each.key_or_group).partition(".")
        name, _, value = word.partition("=")
        return f"{name}=choice({value})" if dot and value and part in swept else word

    return [left(word) for word in words]
