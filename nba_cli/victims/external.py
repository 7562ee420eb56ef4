"""Weights from elsewhere: safetensors, or a state dict in a .pt file, perhaps nested or prefixed.

No code in such a file ever runs.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as serialize
from torch import Tensor, nn

from nba_cli import files
from nba_cli.console import LOG
from nba_cli.errors import Refused
from nba_cli.victims import weights
from nba_cli.victims.origin import Origin, origin_of

NESTS = ("state_dict", "model", "net")  # under which a state dict may lie
PREFIXES = ("module.", "model.", "net.")  # which wrappers put before its names


@dataclass(kw_only=True)
class External:
    """A weights file, and how its content was wrapped: what is cleaned goes back in the same wrapping.

    Fields:
        tensors: the state dict, without the prefix.
        prefix: what stood before all names.
        nest: the key under which the state dict lay; None: at the top.
        payload: all that the file held, of a .pt file.
        origin: what the file says of the model.
    """

    tensors: dict[str, Tensor]
    prefix: str = ""
    nest: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)


def numpy_reconstruction() -> list[Any]:
    """What rebuilds plain NumPy arrays and nothing else, under the names of NumPy 1 and 2."""
    multiarray = np.empty(0).__reduce__()[0].__module__  # numpy._core.multiarray, numpy.core.multiarray before 2
    module = __import__(multiarray, fromlist=["_reconstruct", "scalar"])
    named = [
        (getattr(module, name), f"{package}.multiarray.{name}")
        for name in ("_reconstruct", "scalar")
        for package in ("numpy.core", "numpy._core")
    ]
    dtypes = [kind for name in np.dtypes.__all__ if isinstance(kind := getattr(np.dtypes, name), type)]
    return [np.ndarray, np.dtype, *dtypes, *named]


def read(path: Path) -> External:
    """The weights in a .safetensors, .pt or .pth file.

    Raises:
        Refused: the file is missing or damaged, would have to run code, or holds no state dict.
    """
    if path.suffix == ".safetensors" or not path.is_file():
        return External(tensors=weights.read(path))
    payload = load(path)
    nest, state = unwrap(payload, path)
    prefix = ""
    while found := next((p for p in PREFIXES if all(name.startswith(prefix + p) for name in state)), None):
        prefix += found
    tensors = {name.removeprefix(prefix): value for name, value in state.items()}
    return External(tensors=tensors, prefix=prefix, nest=nest, payload=payload, origin=origin_of(payload))


def load(path: Path) -> Any:
    """What a .pt file holds: tensors, plain values and NumPy arrays. What PyTorch warns of is not for our user.

    Raises:
        Refused: the file is damaged, or would have to run code.
    """
    try:
        if is_scripted(path):
            raise Refused(
                f"{path}: a TorchScript archive, which holds code beside its weights. Convert it where it was made: "
                "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')."
            )
        with torch.serialization.safe_globals(numpy_reconstruction()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise Refused(
            f"{path}: holds more than tensors, and reading it would run its code. Convert it where it was made: "
            "torch.save(model.state_dict(), 'weights.pt')."
        ) from error
    except Refused:
        raise
    except Exception as error:  # an unpickler that meets nonsense raises whatever that happens to mean
        reason, *_ = str(error).splitlines() or [type(error).__name__]
        raise Refused(f"{path}: not a readable PyTorch file ({reason}).") from error


def is_scripted(path: Path) -> bool:
    """Whether a PyTorch file is one of TorchScript.

    Raises:
        Refused: it is no PyTorch file.
    """
    with path.open("rb") as file:
        start = file.read(4)
        zipped = start == b"PK\x03\x04" and zipfile.is_zipfile(file)
    if not zipped and start[:1] != b"\x80":  # before torch 1.6 a bare pickle
        raise Refused(f"{path}: not a PyTorch file. Give what torch.save(model.state_dict(), 'weights.pt') wrote.")
    if not zipped:
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def unwrap(payload: Any, path: Path) -> tuple[str | None, dict[str, Tensor]]:
    """Where in a loaded file the state dict lies, and the state dict.

    Raises:
        Refused: nowhere.
    """
    candidates = [(None, payload)]
    if isinstance(payload, dict):
        candidates += [(nest, payload[nest]) for nest in NESTS if nest in payload]
    for nest, found in candidates:
        if isinstance(found, dict) and found and all(map(is_entry, found.items())):
            return nest, dict(found)
    kind = (
        f"a dict with {', '.join(map(str, list(payload)[:5]))}" if isinstance(payload, dict) else type(payload).__name__
    )
    raise Refused(
        f"{path}: no state dict in it ({kind}), neither at the top nor under {', '.join(NESTS)}. "
        "Save one: torch.save(model.state_dict(), 'weights.pt')."
    )


def is_entry(item: tuple[Any, Any]) -> bool:
    """Whether a key and its value are an entry of a state dict."""
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def as_it_came(name: str, value: Tensor, came: Tensor) -> Tensor:
    """`value` in the dtype in which tensor `name` came; as it is, with a warning, if that cannot hold its numbers."""
    cast = value.to(came.dtype)
    if cast.is_floating_point() and not cast.isfinite().all():
        LOG.warning(f"{name}: holds numbers too large for {came.dtype}, in which it came; written as {value.dtype}")
        return value
    return cast


def save(model: nn.Module, source: External, path: Path) -> None:
    """Write the weights of `model` as `source` had them: the same names, dtypes, prefix and nesting."""
    own = weights.tensors(model)
    state = {source.prefix + name: as_it_came(name, own[name], came) for name, came in source.tensors.items()}
    if not source.payload:
        files.write(path, serialize(state))
        return
    buffer = io.BytesIO()
    torch.save(state if source.nest is None else source.payload | {source.nest: state}, buffer)
    files.write(path, buffer.getvalue())
