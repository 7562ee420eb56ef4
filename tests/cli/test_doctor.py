"""`nba doctor`."""

from __future__ import annotations

from pathlib import Path

import pytest

from nba_cli.cli import doctor, main


def test_doctor_reports_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "SECONDS", 0.01)
    monkeypatch.setenv("NBA_DATA", str(tmp_path))
    (tmp_path / "cifar10.npz").write_text("")
    assert main.launch("doctor", []) == 0
    text = capfd.readouterr().out
    for word in ("torch 2", "AMX", "cpu (", "fashion_mini (bundled), cifar10", str(tmp_path), "GB free", "images/s"):
        assert word in text
    assert "svhn" not in text
    assert main.launch("doctor", ["x"]) == 2
