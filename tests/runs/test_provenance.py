"""Where a result comes from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from nba_cli import devices
from nba_cli.runs.provenance import provenance


@pytest.fixture
def switches() -> Iterator[None]:
    """Leaves the switches of the process as they were."""
    flags = [(torch.backends.cuda.matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32"),
             (torch.backends.cudnn, "benchmark")]  # fmt: skip
    before = [getattr(backend, name) for backend, name in flags]
    yield
    for (backend, name), value in zip(flags, before, strict=True):
        setattr(backend, name, value)


def test_a_result_of_a_gpu_says_that_fp32_means_tf32(switches: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    gpu = torch.device("cuda", 0)
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    torch.backends.cuda.matmul.allow_tf32 = False
    assert provenance(gpu)["tf32"] is False
    devices.prepare(gpu)
    assert current == [gpu], "whatever asks for no device takes this one"
    assert provenance(gpu)["tf32"] is True and provenance(gpu)["processor"] == "a GPU"
    assert "tf32" not in provenance(torch.device("cpu"))
