"""`nba doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nba_cli.cli import doctor, main

SWITCHES = (
    (torch.backends.cuda.matmul, "allow_tf32"),
    (torch.backends.cudnn, "allow_tf32"),
    (torch.backends.cudnn, "benchmark"),
)


def test_doctor_reports_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "SECONDS", 0.01)
    monkeypatch.setenv("NBA_DATA", str(tmp_path))
    (tmp_path / "cifar10.npz").write_text("")
    assert main.launch("doctor", []) == 0
    text = capfd.readouterr().out
    for word in (
        "torch 2",
        "AMX",
        "cpu (",
        "gpu        none that PyTorch can use",
        "fashion_mini (bundled), cifar10",
        str(tmp_path),
        "GB free",
        "images/s",
    ):
        assert word in text
    assert "svhn" not in text
    assert main.launch("doctor", ["x"]) == 2
    monkeypatch.delenv("NBA_DATA")
    monkeypatch.setenv("HOME", "/nonexistent/home")
    assert main.launch("doctor", []) == 0
    assert "/nonexistent/home" in capfd.readouterr().out, "a container may have none"


@pytest.fixture
def switches() -> Iterator[None]:
    """PyTorch's switches, which the doctor sets as a run would, are put back."""
    kept = [(each, name, getattr(each, name)) for each, name in SWITCHES]
    yield
    for each, name, value in kept:
        setattr(each, name, value)


@pytest.mark.usefixtures("switches")
@pytest.mark.parametrize(
    ("major", "bf16", "arithmetic"),
    [
        (9, True, "forward passes in bf16, weights and losses in fp32; fp32 products and convolutions in TF32"),
        (
            7,
            False,
            "forward passes in fp32, weights and losses in fp32; fp32 products and convolutions in full precision",
        ),
    ],
)
def test_doctor_says_what_a_gpu_would_do(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], major: int, bf16: bool, arithmetic: str
) -> None:
    card = SimpleNamespace(name="Some GPU", total_memory=80_000_000_000, major=major, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: card.name)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(doctor, "images_per_second", lambda device, precision: {"cuda": 12345.0}[device.type])
    assert main.launch("doctor", []) == 0
    lines = capfd.readouterr().out.splitlines()
    assert f"device     cuda:0 (Some GPU), {'bf16' if bf16 else 'fp32'}" in lines
    assert f"gpu        Some GPU, 80 GB, compute capability {major}.0, CUDA 12.8; 1 of 2" in lines
    assert f"arithmetic {arithmetic}" in lines
    assert f"speed      12,345 images/s training wrn_16_1, {'bf16' if bf16 else 'fp32'}" in lines
