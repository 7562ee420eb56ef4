"""Weights on disk: safetensors, which holds tensors and nothing that could run."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialize
from torch import Tensor, nn

from nba_cli import files
from nba_cli.console import LOG
from nba_cli.errors import Refused

STATISTICS = {"normalise.mean", "normalise.std"}


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of `model` as files hold it: safetensors refuses channels_last tensors."""
    return for_file(model.state_dict())


def for_file(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in state.items()}


def save(model: nn.Module, path: Path) -> None:
    """Write the state dict of `model` as safetensors."""
    files.write(path, serialize(tensors(model)))


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        Refused: the file is missing or damaged.
    """
    if not path.is_file():
        raise Refused(f"{path}: no such file.")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise Refused(f"{path}: not a readable safetensors file ({error}).") from error


def load(model: nn.Module, path: Path) -> None:
    """Load a safetensors file into `model`.

    Raises:
        Refused: the file is missing or damaged, or does not fit; names the first tensors that differ.
    """
    load_tensors(model, read(path), path)


def load_tensors(
    model: nn.Module, found: dict[str, Tensor], path: Path, *, label: str = "this victim", quiet: bool = False
) -> None:
    """Load tensors from `path` into `model`, the victim `label`; its normalisation stays if they bring none.

    Raises:
        Refused: they do not fit (names the first tensors that differ), are of another kind or are not finite.
    """
    found = dict(found)
    own = model.state_dict()
    if not STATISTICS & found.keys():  # public weights of the architecture: normalised by the data set's statistics
        if not quiet:
            LOG.warning(
                f"{path}: holds no normalisation; the data set's channel statistics are used. "
                "victim.mean and victim.std set others."
            )
        found |= {key: own[key] for key in STATISTICS}
    wanted = {key: tuple(value.shape) for key, value in own.items()}
    shapes = {key: tuple(value.shape) for key, value in found.items()}
    wrong = sorted(key for key in wanted.keys() | shapes.keys() if wanted.get(key) != shapes.get(key))
    if wrong:
        first = "; ".join(
            f"{key}: file {shapes.get(key, 'none')}, victim {wanted.get(key, 'none')}" for key in wrong[:3]
        )
        raise Refused(f"{path}: {len(wrong)} tensors do not fit {label} ({first}). Is victim=… the right one?")
    for key, value in found.items():
        if not own[key].is_floating_point():  # a counter, which no output depends on
            continue
        if not value.is_floating_point() or value.layout is not torch.strided or value.is_meta:
            raise Refused(f"{path}: {key} holds {value.dtype} ({value.layout}); {label} has {own[key].dtype} there.")
        if not value.float().isfinite().all():
            raise Refused(
                f"{path}: {key} holds numbers that are infinite or none (NaN). Such a model classifies nothing."
            )
    model.load_state_dict(found)
