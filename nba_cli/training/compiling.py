"""Compiled networks, where a training is long enough to repay what compiling costs."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum
from pathlib import Path

import torch
from torch import Tensor, nn

from nba_cli import devices, files
from nba_cli.console import LOG
from nba_cli.errors import Refused

FEWEST, SHORTEST = 500, 180.0  # steps, seconds: a shorter training cannot repay a compiler that takes half a minute
WAYS = 4  # a defense passes a network in several ways (training, crafting, frozen statistics), each compiled anew
WARM, TIMED = 2, 8  # passes of each network in a race
GRAPHS = 64  # that one architecture may have in a process, over widths, modes and batch sizes; then it runs plain


class Compiling(Enum):
    """auto: where a trial on this machine says that it repays its cost; on: always; off: never."""

    auto = "auto"
    on = "true"
    off = "false"

    @classmethod
    def named(cls, name: str) -> Compiling:
        """
        Raises:
            Refused: there is none of that name.
        """
        try:
            return cls(name.lower())
        except ValueError:
            raise Refused(f"compile={name}: choose auto, true or false.") from None


@dataclass(frozen=True)
class Trial:
    """Seconds of a pass of one batch, plain and compiled, and of compiling; the last two are 0 if nobody has tried."""

    plain: float
    compiled: float = 0.0
    compiling: float = 0.0

    def even(self) -> float:
        """Steps after which compiling has repaid itself; infinite if it is no faster."""
        gain = self.plain - self.compiled
        return WAYS * self.compiling / gain if gain > 0 else float("inf")


def chosen(how: Compiling, model: nn.Module, x: Tensor, dtype: torch.dtype, steps: int, graphs: bool) -> nn.Module:
    """What `steps` batches like `x` pass through in the place of `model`: itself, or a compiled twin.

    auto tries on processors alone: on a GPU nobody has measured it. A compiler that fails costs a warning. What a trial
    found is kept in the cache folder, so that a resumed run, and every other one of the same network on the same
    machine, decides alike.

    Args:
        x: a batch, float [B,C,H,W] in [0,1], on the model's device.
        graphs: on CUDA, replay a step's kernels as one graph: for objectives that pass the model once a step.
    """
    if how is Compiling.off or (how is Compiling.auto and (steps < FEWEST or x.device.type != "cpu")):
        return model
    file = record_file(model, x, dtype, graphs)
    trial = remembered(file)
    if trial is None:
        trial = Trial(*race([apart(model)], x, dtype))
        remember(file, trial)
    if how is Compiling.auto and trial.plain * steps < SHORTEST:
        return model
    try:
        if not trial.compiled:
            compiled = twin(apart(model), graphs)
            first = seconds(compiled, x, dtype)
            trial = Trial(*race([apart(model), compiled], x, dtype), compiling=first)
            remember(file, trial)
        if how is Compiling.auto and steps < trial.even():
            LOG.info(f"not compiled: {speed(trial)}; {steps:,} steps do not repay it")
            return model
        seconds(twin(apart(model), graphs), x, dtype)  # what has been tried once may fail in another process
    except Exception as error:  # a compiler fails in as many ways as there are systems
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        LOG.warning(f"compile={how.value}: the compiler failed ({reason}); training goes on without it.")
        return model
    LOG.info(f"compiled: {speed(trial)}")
    torch._dynamo.config.suppress_errors = True  # a way of passing that was not tried falls back to the plain one
    return twin(model, graphs)


def speed(trial: Trial) -> str:
    return f"{trial.plain / trial.compiled:.2f} times as fast, {trial.compiling:.0f} s to compile"


def apart(model: nn.Module) -> nn.Module:
    """A copy to try things on. Nobody watches it: its passes are not the model's."""
    copied = copy.deepcopy(model)
    copied.watch = None  # type: ignore[assignment]
    return copied


def twin(model: nn.Module, graphs: bool) -> nn.Module:
    """A module of the same parameters, buffers and submodules, which runs compiled."""
    shared = copy.copy(model)
    # switches of the process: tracing looks at .grad of its input, which a pseudo sample that is being crafted has not
    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
    torch._dynamo.config.recompile_limit = GRAPHS
    torch._dynamo.config.suppress_errors = False
    cuda = next(model.parameters()).device.type == "cuda"
    shared.compile(mode="reduce-overhead" if cuda and graphs else None)
    return shared


def race(models: Sequence[nn.Module], x: Tensor, dtype: torch.dtype) -> list[float]:
    """Seconds of the fastest pass of each of `models`, which take turns: other programs slow one as much as another."""
    for model in models:
        for _ in range(WARM):
            seconds(model, x, dtype)
    rounds = [[seconds(model, x, dtype) for model in models] for _ in range(TIMED)]
    return [min(times) for times in zip(*rounds, strict=True)]


def seconds(model: nn.Module, x: Tensor, dtype: torch.dtype) -> float:
    """Of a pass forward and backward."""
    model.train()
    model.zero_grad()  # as a training does: one graph on CUDA may not add to the gradients of another
    began = time.perf_counter()
    with devices.autocast(x.device, dtype):
        model(x).float().logsumexp(1).mean().backward()
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - began


def record_file(model: nn.Module, x: Tensor, dtype: torch.dtype, graphs: bool) -> Path:
    """Where the trial of such a network on such batches is kept."""
    place = (devices.processor(x.device), torch.get_num_threads(), torch.__version__)
    what = (str(model), tuple(x.shape), str(dtype), graphs, *place)
    return files.cache_folder() / f"compile-{hashlib.sha256(repr(what).encode()).hexdigest()[:16]}.json"


def remembered(file: Path) -> Trial | None:
    """What an earlier trial found; None: there was none, or its file is damaged."""
    try:
        found = json.loads(file.read_text())
        if not files.unbroken(found):
            return None
        return Trial(**{each.name: float(found[each.name]) for each in fields(Trial)})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def remember(file: Path, trial: Trial) -> None:
    """Keep a trial, unless the cache folder cannot be written."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, json.dumps(files.sealed(asdict(trial))) + "\n")
