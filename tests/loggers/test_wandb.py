"""Weights & Biases, offline: what it would send, read from its own file. Needs pip install -e '.[wandb]'."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from running import SHORT, interrupt, metrics, results

wire = pytest.importorskip("wandb.proto.wandb_internal_pb2")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

QUICK = (*SHORT, "train.epochs=3", "logger=wandb", "logger.project=mine")
BLOCK, HEADER = 32768, 7  # bytes; of a file of records in LevelDB's log format
LAST = (1, 4)  # kinds of the last part of a record


def records(folder: Path) -> Iterator[Any]:
    """What an offline run holds, in order."""
    (file,) = folder.glob("*.wandb")
    content, place, parts = file.read_bytes(), HEADER, b""  # the file's own header is as long as a part's
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        parts += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in LAST:
            yield wire.Record.FromString(parts)
            parts = b""


def values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_a_resumed_run_is_sent_under_one_id(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        assert nba("attack", *QUICK)[0] == 130
    code, text = nba("attack", *QUICK, "reference=true", "logger.group=ours")
    assert code == 0
    (out,) = [found for found in results(tmp_path, "attack") if "badnets" in found.name]
    number, record = (out / "logger").read_text(), metrics(out)
    first, second = sorted((tmp_path / "runs/wandb").glob(f"offline-run-*-{number}"))
    assert f"logger: {second}" in text
    assert len(list((tmp_path / "runs/wandb").glob("offline-run-*"))) == 3, "the clean victim beside it has its own"
    told = [list(records(folder)) for folder in (first, second)]
    (run,) = [each.run for each in told[1] if each.HasField("run")][:1]
    assert (run.run_id, run.display_name, run.project) == (number, f"attack/{out.name}", "mine")
    assert (run.run_group, run.job_type) == ("ours", "attack") and "attack=badnets" in run.tags
    config = values(run.config.update)
    assert config["attack"]["kind"] == "badnets" and config["train"]["epochs"] == 3 and "logger" not in config
    points = [values(each.history.item) for session in told for each in session if each.HasField("history")]
    loss = [(point["victim/step"], point["victim/loss"]) for point in points if "victim/loss" in point]
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert loss == [(line["step"], line["loss"]) for line in lines] and len(loss) == 3
    (picture,) = [point for point in points if "trigger/_type" in point]
    assert picture["trigger/_type"] == "image-file" and picture["trigger/width"] > 500
    summary: dict[str, Any] = {}
    for each in told[1]:
        summary |= values(each.summary.update) if each.HasField("summary") else {}
    assert summary["figures.asr"] == record["figures"]["asr"] and summary["seconds.train"] == record["seconds"]["train"]
    ends = [each.exit.exit_code for session in told for each in session if each.HasField("exit")]
    assert ends == [1, 0]


def test_online_without_a_login_is_refused(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where a login would lie
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    code, text = nba("attack", *QUICK, "logger.mode=online")
    assert code == 2 and "nba: logger=wandb: UsageError: No API key configured." in text
    assert not list((tmp_path / "runs/attack").iterdir())
