"""The life of a run folder: settings, locks, refusals."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from records import EMPTY
from test_naming import attack_run, defend_run

from attacks import BadNets, Blend
from nba_cli import console
from nba_cli.data.fashion_mini import FashionMini
from nba_cli.defenses import NBA
from nba_cli.defenses.nba.behavior import Form
from nba_cli.errors import Refused
from nba_cli.pipeline import perform
from nba_cli.runs import folder, plain
from nba_cli.training import Plan


def finish(out: Path) -> None:
    """Write the record of a run whose config is there."""
    settings = plain.read_config(out / "config.yaml")
    folder.keep(out, EMPTY | {"stage": settings.pop("stage"), "settings": settings})


def test_a_run_survives_its_config_file(tmp_path: Path) -> None:
    defense = NBA(behavior=[Form.attention], student=Plan(steps=9, clip=None))
    run = defend_run(defense=defense, attack=Blend(alpha=0.2), dataset=FashionMini(clean_ratio=0.2))
    folder.begin(tmp_path, "defend", plain.to_plain(run))
    finish(tmp_path)
    assert plain.read_run(tmp_path) == run


def made_by(version: int | None, tmp_path: Path, **options: object) -> None:
    """A finished run of blend as that version wrote it; None: before versions were recorded."""
    folder.begin(tmp_path, "attack", plain.to_plain(attack_run(attack=Blend(alpha=0.2))))
    config = OmegaConf.load(tmp_path / "config.yaml")
    del config.attack.version
    more = {"version": version, **options} if version else options
    OmegaConf.save(OmegaConf.merge(config, {"attack": more}), tmp_path / "config.yaml")
    finish(tmp_path)


def test_an_attack_of_another_version_is_not_taken_for_todays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trigger would be another one. A part given instead is not read."""
    for version in (None, 1):
        made_by(version, tmp_path)
        assert plain.read_run(tmp_path).attack == Blend(alpha=0.2), "version 1 is that of old records"
    made_by(2, tmp_path)
    with pytest.raises(Refused, match=r"attack=blend: this run was made with version 2 of it, and this is version 1"):
        plain.read_run(tmp_path)
    made_by(1, tmp_path, textures=4)
    with pytest.raises(Refused, match=r"attack=blend: .* Give attack=… to measure"):
        plain.read_run(tmp_path)
    assert plain.read_run(tmp_path, attack=BadNets()).attack == BadNets()


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not the folder of a finished run"):
        plain.read_run(tmp_path)
    folder.begin(tmp_path, "evaluate", plain.to_plain(attack_run()))
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(Refused, match="holds no model"):
        plain.read_run(tmp_path)


def test_an_unwritable_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=r"output=.*file: cannot be written \(.*\)\. Set output=FOLDER"):
        perform.perform("attack", attack_run(output=str(tmp_path / "file")))


def test_whoever_needs_a_locked_run_says_so_and_waits(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    console.setup()
    out, order, until = tmp_path / "attack/one", [], time.monotonic() + 30

    def second() -> None:
        with folder.locked(out, tmp_path):
            order.append("second")

    with folder.locked(out, tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        while "waiting: another process works on" not in capfd.readouterr().out and time.monotonic() < until:
            time.sleep(0.01)
        assert time.monotonic() < until, "it says that it waits"
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
