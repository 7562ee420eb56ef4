"""Weights from elsewhere: read safely, and written back as they came."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import tiny_data
from safetensors.torch import save_file
from torch import nn

from nba_cli import console
from nba_cli.errors import Refused
from nba_cli.victims import WideResNet, external, weights


@pytest.mark.parametrize(
    ("nest", "prefix"),
    [
        (None, ""),
        (None, "module."),
        ("state_dict", ""),
        ("model", "module."),
        ("net", "model."),
        (None, "module.model."),
    ],
)
def test_wrappings_are_taken_off_and_put_back(
    tmp_path: Path, public_state: dict[str, torch.Tensor], nest: str | None, prefix: str
) -> None:
    wrapped: Any = {prefix + name: value for name, value in public_state.items()}
    payload = wrapped if nest is None else {"epoch": 7, nest: wrapped}
    torch.save(payload, tmp_path / "in.pt")
    source = external.read(tmp_path / "in.pt")
    assert (source.nest, source.prefix) == (nest, prefix) and source.tensors.keys() == public_state.keys()
    network = WideResNet(depth=10).build(3, tiny_data())
    network.load_state_dict(public_state, strict=False)
    external.save(network, source, tmp_path / "out.pt")
    again = torch.load(tmp_path / "out.pt", weights_only=True)
    inner = again if nest is None else again[nest]
    assert inner.keys() == wrapped.keys() and all(torch.equal(inner[name], wrapped[name]) for name in wrapped)
    assert nest is None or again["epoch"] == 7


def test_arrays_of_the_older_numpy_are_read_too(tmp_path: Path, public_state: dict[str, torch.Tensor]) -> None:
    torch.save({"model": public_state, "extra": np.arange(3)}, tmp_path / "new.pt")
    content = (tmp_path / "new.pt").read_bytes()
    assert b"numpy._core.multiarray" in content or b"numpy.core.multiarray" in content
    import zipfile

    with zipfile.ZipFile(tmp_path / "new.pt") as old, zipfile.ZipFile(tmp_path / "old.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert external.read(tmp_path / "old.pt").tensors.keys() == public_state.keys()


@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.trace(net, torch.ones(1, 2))])
def test_a_torchscript_archive_is_refused_without_advice_to_run_its_code(
    tmp_path: Path, make: Callable[[nn.Module], Any]
) -> None:
    """A warning of PyTorch's would be an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        torch.jit.save(make(nn.Linear(2, 2)), tmp_path / "scripted.pt")
    with pytest.raises(Refused, match="a TorchScript archive, which holds code") as caught:
        external.read(tmp_path / "scripted.pt")
    assert "Convert it where it was made: torch.save(" in str(caught.value)
    assert "weights_only" not in str(caught.value) and "\n" not in str(caught.value)


def test_what_pytorch_warns_of_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "in.pt")
    usual = torch.load

    def warns(*given: Any, **more: Any) -> Any:
        warnings.warn("TypedStorage is deprecated", UserWarning, stacklevel=1)
        return usual(*given, **more)

    monkeypatch.setattr(torch, "load", warns)
    assert external.read(tmp_path / "in.pt").tensors["a"] == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_weights_go_back_in_the_dtype_in_which_they_came(
    tmp_path: Path, public_state: dict[str, torch.Tensor], dtype: torch.dtype, ending: str
) -> None:
    came = {name: value.to(dtype) if value.is_floating_point() else value for name, value in public_state.items()}
    came["bn1.weight"] = public_state["bn1.weight"]  # some kept as they were
    if ending == "pt":
        torch.save({"model": came}, tmp_path / "in.pt")
    else:
        save_file(came, tmp_path / "in.safetensors")
    source = external.read(tmp_path / f"in.{ending}")
    network = WideResNet(depth=10).build(3, tiny_data())
    weights.load_tensors(network, source.tensors, tmp_path, quiet=True)
    external.save(network, source, tmp_path / f"out.{ending}")
    again = external.read(tmp_path / f"out.{ending}").tensors
    assert {name: value.dtype for name, value in again.items()} == {name: value.dtype for name, value in came.items()}
    assert all(torch.equal(again[name], came[name]) for name in came)


def test_numbers_too_large_for_the_dtype_are_not_turned_into_infinity(
    tmp_path: Path, public_state: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    console.setup()
    torch.save({name: value.half() for name, value in public_state.items()}, tmp_path / "in.pt")
    source = external.read(tmp_path / "in.pt")
    network = WideResNet(depth=10).build(3, tiny_data())
    network.get_buffer("bn1.running_var").fill_(1e6)
    external.save(network, source, tmp_path / "out.pt")
    again = torch.load(tmp_path / "out.pt", weights_only=True)
    assert again["bn1.running_var"].dtype == torch.float32 and (again["bn1.running_var"] == 1e6).all()
    assert again["bn1.running_mean"].dtype == torch.float16
    assert "bn1.running_var: holds numbers too large for torch.float16" in capsys.readouterr().out


def test_whole_modules_and_other_things_are_refused_with_the_way_to_convert_them(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(Refused, match=r"torch.save\(model.state_dict\(\)"):
        external.read(tmp_path / "module.pt")
    torch.save({"optimizer": {"lr": 0.1}, "epoch": 3}, tmp_path / "none.pt")
    with pytest.raises(Refused, match=r"no state dict in it \(a dict with optimizer, epoch\)"):
        external.read(tmp_path / "none.pt")
    torch.save({0: torch.ones(9)}, tmp_path / "numbered.pt")
    with pytest.raises(Refused, match=r"no state dict in it \(a dict with 0\)"):
        external.read(tmp_path / "numbered.pt")
    torch.save({"a": torch.ones(9)}, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    for content in (b"PK\x03\x04 damaged", whole[:-30], b"a text, not weights", b""):
        (tmp_path / "damaged.pt").write_bytes(content)
        with pytest.raises(Refused, match="not a PyTorch file"):
            external.read(tmp_path / "damaged.pt")
    (tmp_path / "damaged.pt").write_bytes(whole.replace(b"data.pkl", b"data.pkm"))
    with pytest.raises(Refused, match="not a readable PyTorch file"):
        external.read(tmp_path / "damaged.pt")
    torch.save({"a": torch.ones(9)}, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    assert external.read(tmp_path / "legacy.pt").tensors["a"].shape == (9,)
    with pytest.raises(Refused, match="no such file"):
        external.read(tmp_path / "absent.pt")
