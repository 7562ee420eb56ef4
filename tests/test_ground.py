"""The ground: seeds, devices, the console."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console

from nba_cli import console, devices
from nba_cli.console import LOG
from nba_cli.devices import Precision
from nba_cli.errors import Refused
from nba_cli.seeds import derive, generator


def test_streams_are_independent() -> None:
    assert derive(0, "poison") != derive(0, "train") != derive(1, "train")
    assert torch.equal(torch.rand(3, generator=generator(3, "a")), torch.rand(3, generator=generator(3, "a")))


def test_cpu_is_always_there() -> None:
    assert devices.resolve("cpu") == torch.device("cpu")


def test_a_gpu_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.resolve("cuda:1") == torch.device("cuda", 1) and devices.resolve("cuda") == torch.device("cuda", 0)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:99", "cpu:"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(Refused, match=f"device={name}"):
        devices.resolve(name)


def test_precision_resolves_to_what_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for has, wanted in ((True, Precision.bf16), (False, Precision.fp32)):
        monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda has=has: has)
        assert devices.resolve_precision(Precision.auto, cpu) is wanted
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation, has=has: has)
        assert devices.resolve_precision(Precision.auto, torch.device("cuda")) is wanted
    assert devices.resolve_precision(Precision.fp16, cpu) is Precision.fp16


def test_a_cpu_is_told_by_its_newest_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processors of one name round differently: an "AMD EPYC" may have AVX2 or AVX512-BF16."""
    names = ("avx2", "avx512", "avx512_bf16", "amx_tile")
    for count, said in enumerate(("none", "AVX2", "AVX512", "AVX512-BF16", "AMX")):
        for number, name in enumerate(names):
            monkeypatch.setattr(f"torch.cpu._is_{name}_supported", lambda has=number < count: has)
        assert devices.instructions() == said


def test_parallel_jobs_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [devices.spread(number) for number in range(4)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert devices.spread(3) == "auto"


def test_header_is_a_panel_on_a_terminal(terminal: Console) -> None:
    console.header("nba attack", {"device": "cpu [2 threads]"})
    text = terminal.export_text()
    assert "╭─ nba attack" in text and "cpu [2 threads]" in text


def test_recording_keeps_the_log_and_the_traceback_but_not_a_refusals(tmp_path: Path) -> None:
    console.setup()
    with pytest.raises(ZeroDivisionError), console.recording(tmp_path / "run.log"):
        LOG.info("before")
        raise ZeroDivisionError("ours")
    text = (tmp_path / "run.log").read_text()
    assert "INFO before" in text and "Traceback" in text and "ZeroDivisionError: ours" in text
    with pytest.raises(Refused), console.recording(tmp_path / "other.log"):
        raise Refused("theirs")
    assert "ERROR theirs" in (tmp_path / "other.log").read_text()
    assert "Traceback" not in (tmp_path / "other.log").read_text()
