"""What Hydra, OmegaConf and launchers raise -> one line."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import re
import traceback

from nba_cli.errors import Refused, did_you_mean
from nba_cli.files import choices, conf_dir
from nba_cli.runs.command_line import in_quotes

DISK = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR,
        errno.EFBIG, errno.EIO}  # fmt: skip
NAMES = {errno.ENAMETOOLONG, errno.ELOOP}


def _raised_in(error: BaseException, function: str) -> bool:
    """/proc and the like answer mkdir with "no such file", which elsewhere would be a defect of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].name == function


def _expected(error: BaseException) -> bool:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    return isinstance(error, (HydraException, OmegaConfBaseException, YAMLError))


def _unwrapped(error: BaseException) -> BaseException:
    """What a resolver of ours raised, however OmegaConf wraps it."""
    from omegaconf.errors import InterpolationResolutionError

    inner = error
    while type(inner) is InterpolationResolutionError and (below := inner.__cause__ or inner.__context__):
        inner = below
    return inner


def _of_no_part(error: BaseException) -> str | None:
    """The option that was set of a part that is null, which OmegaConf answers with an assertion that names nothing."""
    from omegaconf import OmegaConf

    for frame, _ in traceback.walk_tb(error.__traceback__):
        if isinstance(error, AssertionError) and frame.f_code is OmegaConf.update.__code__:
            return frame.f_locals["key"]
    return None


ADDED = ("experiment",)  # groups that a run may do without
KILLED = ("TerminatedWorkerError", "BrokenProcessPool", "UncompletedJobError")
"""What parallel launchers raise when one of their processes is gone; known by name, as the launchers are optional."""


def stopped(error: BaseException) -> str | None:
    """The line to show when the machine ended what was asked for rightly, and may do it another time."""
    name = type(error).__name__
    if name in KILLED:
        return "a worker process was killed, often out of memory; run the same command to do what is left"
    if f"{type(error).__module__}.{name}" == "torch.OutOfMemoryError":  # by name: torch may not have been loaded
        return (
            "the GPU's memory is full. Run fewer jobs on it at a time, or choose a smaller batch: train.batch=… of a "
            "victim; what a defense has is shown by nba defend defense=… --help."
        )
    return None


def one_line(error: BaseException) -> str | None:
    """The line to show for an expected failure; None for a defect, which deserves its traceback.

    Hydra, OmegaConf and YAML say what is wrong over several lines and with their own vocabulary.
    """
    error = _unwrapped(error)
    if isinstance(error, Refused):
        return " ".join(str(error).split())
    if option := _of_no_part(error):
        part = option.rpartition(".")[0]
        return f"{option}: no {part} is chosen here. Add {part}=…"
    if isinstance(error, OSError) and (error.errno in DISK | NAMES or _raised_in(error, "mkdir")):
        hint = " Set output=FOLDER to one that can be written." if error.errno not in NAMES else ""
        return f"{error.filename or 'output'}: {error.strerror}.{hint}"
    if not _expected(error):
        return None

    if missing := _missing(error):
        return f"{missing} has no value. Add {missing}=…"
    text = str(error)
    if found := re.search(r"hydra/(launcher|sweeper)/(joblib|submitit\w*|ray\w*|optuna)'", text):
        return f"hydra/{found[1]}: the plugin {found[2]} is not installed. See Sweeps in the README."
    if found := re.search(r"Could not find '((?:hydra/)?\w+)/([^']*)'", text):
        group, choice = found.groups()
        options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
        near = _of_torchvision(choice) if group == "victim" else ""
        among = {*options, *choices(group)}  # Hydra does not list those in subfolders, such as selected/ft
        return f"{group}={choice}: there is no such {group.rpartition('/')[2]}. {near or did_you_mean(choice, among)}"
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1], error)
    if found := re.search(r"Ambiguous value for argument '([^=]+)=(.*)'", text):
        values = re.sub(r"'((?:[^'\\]|\\.)*)'", r"\1", found[2])  # without the quotes that cli/quoting.py put
        said = f"{found[1]}={values}: several values are a sweep: add --multirun."
        return f"{said} {_as_one(found[1], values)}".rstrip()
    if found := re.search(r"Error merging override (\S+)", text):
        why = str(error.__cause__ or error.__context__ or text).strip().splitlines()
        return f"{found[1]}: {_of_type(why[0])}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = " ".join(line for line in lines if not line.startswith(("object_type", "full_key", "reference_type")))
    option = getattr(error, "full_key", None)
    return f"{option}: {said}" if option and option not in said else said


def _of_type(line: str) -> str:
    """OmegaConf's line about a value of another type, in plain words; any other line as it is."""
    if found := re.fullmatch(r"Value '(.*)' of type '\w+' could not be converted to (Float|Integer)", line):
        return f"{found[1]!r} is not {'a number' if found[2] == 'Float' else 'a whole number'}."
    if found := re.match(r"Value '(.*)' is not a valid bool", line):
        return f"{found[1]!r} is not true or false."
    return line


def _as_one(option: str, values: str) -> str:
    """How to write the values as one, if that can be meant: a part or an experiment has a name, and no number has a
    comma."""
    from hydra.core.override_parser.types import Quote, QuotedString

    group = option.lstrip("+")
    if "/" in group or (conf_dir() / group).is_dir() or re.fullmatch(r"[-+\d.,e ]+", values):
        return ""
    one = QuotedString(text=values, quote=Quote.single).with_quotes()
    return f"If it is one value: {in_quotes(f'{option}={one}')}"


def _of_torchvision(victim: str) -> str:
    """How to choose a network that torchvision has under this name; nothing if there is none."""
    from nba_cli.victims import classifiers

    with contextlib.suppress(ImportError, RuntimeError):  # a torchvision that does not fit PyTorch
        if victim in classifiers():
            return f"Did you mean victim=torchvision victim.name={victim}?"
    return ""


def _missing(error: BaseException | None) -> str | None:
    """The option that has no value and needs one, wherever in the chain of errors it is named."""
    from omegaconf.errors import MissingMandatoryValue

    while error is not None:
        if isinstance(error, MissingMandatoryValue):
            return error.full_key
        error = error.__cause__ or error.__context__
    return None


def _unknown_key(key: str, error: BaseException) -> str:
    """A misspelt option, with the nearest field of the class that refused it."""
    from omegaconf.errors import OmegaConfBaseException

    from nba_cli.runs.registry import KINDS

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__ or cause.__context__
    # the first part of the path that no class has: `train` of defense.train.lr where the defense has no train
    refused = getattr(cause, "full_key", None) or key
    owner = getattr(cause, "object_type", None)
    options = [field.name for field in dataclasses.fields(owner)] if dataclasses.is_dataclass(owner) else []
    parent, _, leaf = refused.rpartition(".")
    if key in ADDED:
        return f"{key}: it is added by a plus: +{key}=… Choose from: {', '.join(choices(key))}."
    where = f" in {parent}" if parent else ""
    if owner in KINDS:  # of a sweep over several it tells which one
        where += f" ({KINDS[owner]})"
    return f"{key}: there is no option {leaf!r}{where}. {did_you_mean(leaf, options)}".strip()
