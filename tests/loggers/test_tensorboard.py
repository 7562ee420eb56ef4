"""TensorBoard's event files, read back by TensorBoard. Needs pip install -e '.[tensorboard]'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from running import SHORT, interrupt, metrics, results

reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
pytestmark = pytest.mark.filterwarnings("default")  # those of its packages

QUICK = (*SHORT, "train.epochs=3", "logger=tensorboard")


def events(folder: Path) -> Any:
    return reader.EventAccumulator(str(folder), {"scalars": 0, "images": 0, "tensors": 0}).Reload()


def test_a_resumed_run_is_one_curve_and_an_overwritten_one_replaces_it(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        assert nba("attack", *QUICK)[0] == 130
    (interrupted,) = (tmp_path / "runs/tensorboard/attack").iterdir()
    assert [point.step for point in events(interrupted).Scalars("victim/loss")] == [6, 12], "as they come"
    code, text = nba("attack", *QUICK)
    (out,) = results(tmp_path, "attack")
    folder = tmp_path / "runs/tensorboard/attack" / out.name
    assert code == 0 and f"logger: {folder}" in text and interrupted == folder
    found, record = events(folder), metrics(out)
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    loss = [(point.step, point.value) for point in found.Scalars("victim/loss")]
    assert loss == [(line["step"], pytest.approx(line["loss"])) for line in lines] and len(loss) == 3
    assert found.Scalars("figures/asr")[0].value == pytest.approx(record["figures"]["asr"])
    assert found.Scalars("seconds/train")[0].value == pytest.approx(record["seconds"]["train"])
    (picture,) = found.Images("trigger")
    assert picture.width > 500
    (config,) = found.Tensors("config/text_summary")
    assert b"| attack.kind | badnets |" in config.tensor_proto.string_val[0]
    (tags,) = found.Tensors("tags/text_summary")
    assert b"| victim | wrn_10_1 |" in tags.tensor_proto.string_val[0]
    assert nba("attack", *QUICK, "overwrite=true")[0] == 0
    found = events(folder)
    assert [point.step for point in found.Scalars("victim/loss")] == [6, 12, 18]
    assert len(found.Scalars("figures/asr")) == len(found.Images("trigger")) == 1


def test_its_folder_is_an_option(nba: Run, tmp_path: Path) -> None:
    assert nba("attack", *QUICK, "train.epochs=1", f"logger.folder={tmp_path}/events")[0] == 0
    (out,) = results(tmp_path, "attack")
    assert events(tmp_path / "events/attack" / out.name).Scalars("victim/acc")


def test_a_folder_that_cannot_be_made_refuses_the_run(nba: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, text = nba("attack", *QUICK, f"logger.folder={tmp_path}/file")
    assert code == 2 and "logger=tensorboard: NotADirectoryError" in text and text.count("\n") == 1
