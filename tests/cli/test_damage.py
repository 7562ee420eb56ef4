"""One damaged file of a run: whoever reads many runs leaves it out and says so, whoever needs it refuses."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import Run, Trained
from records import EMPTY, put
from running import results

from nba_cli.errors import Refused
from nba_cli.reports import plot
from nba_cli.training import checkpoint

FAST = ("victim.depth=10", "train.epochs=2", "train.batch=40")
RECORDS = {
    "empty": b"",
    "truncated": b'{"schema": 1, "stage": "att',
    "no text": b"\xff\xfe\x00\x80",
    "no object": b"[]",
    "nothing in it": b"{}",
    "of another version": json.dumps(EMPTY | {"schema": 2, "stage": "attack", "settings": {}}).encode(),
    "without figures": json.dumps(EMPTY | {"stage": "attack", "settings": {}, "figures": {"acc": 1}}).encode(),
    "of parts that are none": json.dumps(EMPTY | {"stage": "defend", "settings": {"attack": 3}}).encode(),
    "deep": b"[" * 100_000,
    "of figures that are none": json.dumps(
        EMPTY | {"stage": "defend", "settings": {}, "figures": {"acc": "high", "asr": 1e400, "ra": 7}}
    ).encode(),
    "that commands the terminal": json.dumps(EMPTY | {"stage": "defend", "settings": {"a\x1b[2J": 1}}).encode(),
}


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of few pixels, which are drawn faster: nobody looks at them."""
    monkeypatch.setitem(plot.STYLE, "figure.dpi", 40)


def test_damaged_records_are_left_out_of_tables(nba: Run, tmp_path: Path) -> None:
    for seed in range(2):
        put(tmp_path / "runs", f"good{seed}", "blend", "ft", seed, (0.9, 0.1, 0.5))
    bad = {name: put(tmp_path / "runs", f"bad {name}", "blend", "ft", 3, (0.9, 0.1, 0.5)) for name in RECORDS}
    for name, folder in bad.items():
        (folder / "metrics.json").write_bytes(RECORDS[name])
    for command, said in (("table", ["90.00"]), ("status", ["3 finished", f"{len(bad) - 1} damaged"])):
        code, text = nba(command, dataset=False)
        assert code == 0 and "Traceback" not in text and all(words in text for words in said), text
        for name, folder in bad.items():
            if command == "status" and name == "of parts that are none":
                continue  # what settings mean is no concern of it
            lines = [line for line in text.splitlines() if f"{folder}/metrics.json" in line]
            advice = "Do the run again with overwrite=true, or delete its folder."
            assert len(lines) == 1 and advice in lines[0], (name, text)
    code, text = nba("plot", "x=defense_seed", f"file={tmp_path}/plot", dataset=False)
    assert code == 0 and all(f"{folder}/metrics.json" in text for folder in bad.values())


def test_a_damaged_record_of_a_victim_is_refused_until_it_is_made_again(
    nba: Run, trained: Trained, tmp_path: Path
) -> None:
    out, damages = trained(*FAST), ("empty", "of another version", "without figures")
    commands = [("attack", *FAST), ("defend", *FAST, "defense=none"), ("evaluate", f"run={out}")]
    for name in damages:
        (out / "metrics.json").write_bytes(RECORDS[name])
        for command in commands:
            code, text = nba(*command, dataset=command[0] != "evaluate")
            assert code == 2 and text.splitlines()[-1].startswith(f"nba: {out}/metrics.json: cannot be used"), text
    assert nba("attack", *FAST, "overwrite=true")[0] == 0
    for command in commands[1:]:
        fixed = command[0] != "evaluate"
        assert nba(*command, dataset=fixed)[0] == 0
        (own,) = results(tmp_path, command[0])
        for name in damages:
            (own / "metrics.json").write_bytes(RECORDS[name])
            code, text = nba(*command, dataset=fixed)
            assert code == 2 and f"nba: {own}/metrics.json: cannot be used" in text, "it is not finished"


CONFIGS = {
    "empty": ("", "does not say of which stage"),
    "a list": ("- a\n- b\n", "does not say of which stage"),
    "without stage": ("seed: 1\n", "does not say of which stage"),
    "no YAML": ("stage: [attack\n", "while parsing"),
    "an interpolation": ("stage: attack\noutput: ${oc.env:HOME}\n", "holds an interpolation"),
    "a hidden one": ('stage: attack\noutput: "\\x24{oc.env:HOME}"\n', "holds an interpolation"),
    "aliases": ("stage: attack\na: &a [x, x]\nb: &b [*a, *a]\n", "holds an alias"),
    "a part that is none": ("stage: attack\nattack: blend\n", "Error: "),
    "a part without a name": ("stage: attack\nattack: {x: 1}\n", "KeyError: 'kind'"),
}


@pytest.mark.parametrize(("content", "why"), CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_someone_sent_is_not_believed(nba: Run, tmp_path: Path, content: str, why: str) -> None:
    out = put(tmp_path / "runs", "sent", "blend", "ft", 0, (0.9, 0.1, 0.5))
    (out / "config.yaml").write_text(content)
    if "attack: " in content:  # its record says the same
        settings = {name: value for name, value in yaml.safe_load(content).items() if name != "stage"}
        (out / "metrics.json").write_text(json.dumps(EMPTY | {"stage": "attack", "settings": settings}))
    code, text = nba("evaluate", f"run={out}", dataset=False)
    assert code == 2 and text.startswith(f"nba: {out}/config.yaml: cannot be used (") and why in text, text


def test_damaged_lines_of_a_history_are_left_out(nba: Run, trained: Trained, tmp_path: Path) -> None:
    out = trained(*FAST)
    history = out / "history.jsonl"
    whole = history.read_bytes()
    history.write_bytes(b'{"phase": "victim", "st\n\xff\xfe\n[]\n' + whole)
    code, text = nba("plot", "kind=training", f"file={tmp_path}/plot", dataset=False)
    assert code == 0 and f"{history}: 3 of its 5 lines cannot be used and are left out" in text
    (out / "metrics.json").unlink()
    (out / "run.log").write_bytes(b"\xff\xfe")
    code, text = nba("status", dataset=False)
    assert code == 0 and "victim, epoch 2" in text
    history.write_bytes(b"\xff")
    code, text = nba("status", dataset=False)
    assert code == 0 and "1 interrupted" in text


def test_a_damaged_journal_does_not_stop_status(nba: Run, tmp_path: Path) -> None:
    put(tmp_path / "runs", "good", "blend", "ft", 0, (0.9, 0.1, 0.5))
    journal = tmp_path / "runs/.sweeps/now/sweep.jsonl"
    journal.parent.mkdir(parents=True)
    first = {"stage": "attack", "command": ["seed=0,1"], "total": 2, "swept": ["seed"]}
    job = {"number": 0, "overrides": ["seed=0"], "end": "finished", "unheard": 1}
    for content in (b"", b"\xff\n", b"[]\n", b'{"stage": "attack"}\n'):
        journal.write_bytes(content + json.dumps(job).encode() + b"\n")
        code, text = nba("status", dataset=False)
        assert code == 0 and "1 finished" in text
    journal.write_bytes(b"\n".join([json.dumps(first).encode(), b"\xff", b"7", b"{}", json.dumps(job).encode(), b""]))
    code, text = nba("status", dataset=False)
    assert code == 0 and "sweep: 1 of 2 done" in text


def test_a_damaged_cost_of_a_trigger_has_it_learned_again(nba: Run, tmp_path: Path) -> None:
    trojan = ("attack=trojan", "attack.steps=3", "attack.batch=8")
    assert nba("attack", *FAST, *trojan)[0] == 0
    (cost,) = (tmp_path / "runs/trigger").glob("*/record.json")
    for content in (b"", b'{"sec', b"[]"):
        cost.write_bytes(content)
        code, text = nba("attack", *FAST, *trojan, "overwrite=true")
        assert code == 0 and f"{cost}: damaged; the trigger has to be learned again" in text
        assert json.loads(cost.read_text())["seconds"] > 0


def test_a_checkpoint_that_is_none(nba: Run, trained: Trained, tmp_path: Path) -> None:
    """Even with the digest that one has."""
    out = trained(*FAST)
    (out / "metrics.json").unlink()
    for content in ({"step": 1}, [1], b"", b"random" * 9):
        buffer = io.BytesIO()
        if isinstance(content, bytes):
            buffer.write(content)
        else:
            torch.save(content, buffer)
        for digest in (b"", hashlib.sha256(buffer.getvalue()).digest()):
            (out / "checkpoint").write_bytes(digest + buffer.getvalue())
            said = f"{out}/checkpoint: this {'is no checkpoint' if digest else 'checkpoint is damaged'}"
            with pytest.raises(Refused, match=rf"{re.escape(said)}.*Delete the file to start over\."):
                checkpoint.read(out / "checkpoint")
            if content == b"random" * 9:
                code, text = nba("attack", *FAST)
                assert code == 2 and f"nba: {said}" in text and "Delete the file to start over." in text, text


def test_a_line_of_a_history_that_has_changed_is_left_out(nba: Run, trained: Trained, tmp_path: Path) -> None:
    out = trained(*FAST)
    history = out / "history.jsonl"
    history.write_text(history.read_text().replace('"loss": ', '"loss": 1', 1))
    code, text = nba("plot", "kind=training", f"file={tmp_path}/plot", dataset=False)
    assert code == 0 and f"{history}: 1 of its 2 lines cannot be used and are left out" in text
    history.write_text(history.read_text().splitlines()[1])
    code, text = nba("plot", "kind=training", f"file={tmp_path}/plot", dataset=False)
    assert code == 0 and f"{history}: changed since it was written: its SHA-256 was " in text, "a line is gone"


def test_an_archive_whose_members_are_no_arrays(nba: Run, tmp_path: Path) -> None:
    file = tmp_path / "set.npz"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", b"no array")
    code, text = nba("attack", *FAST, "dataset=npz", f"dataset.path={file}", dataset=False)
    assert code == 2 and f"nba: dataset.path={file}: x_train is no array." in text
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(file)
    code, text = nba("attack", *FAST, "dataset=npz", f"dataset.path={file}", dataset=False)
    assert code == 2 and f"nba: dataset.path={file}: not a readable .npz" in text


@pytest.mark.parametrize("lacking", ["digests", "counts", "made"])
def test_a_record_of_a_victim_that_lacks_what_a_defense_takes_over(nba: Run, trained: Trained, lacking: str) -> None:
    out = trained(*FAST)
    record = json.loads((out / "metrics.json").read_text())
    del record["seal"]
    (out / "metrics.json").write_text(json.dumps(record | {lacking: {}}))
    code, text = nba("defend", *FAST, "defense=none")
    assert code == 2 and f"nba: {out}/metrics.json: cannot be used (KeyError" in text
