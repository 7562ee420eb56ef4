"""Names, locks, and the life of a run folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import time
from pathlib import Path

import pytest

from attacks.badnets import BadNets
from attacks.blend import Blend
from nba_cli import history, logs, runs, schema, stages
from nba_cli.data.sets import FashionMini, Npz
from nba_cli.defenses import FT, NBA
from nba_cli.defenses.nba.behavior import Form
from nba_cli.devices import Precision
from nba_cli.errors import Refused
from nba_cli.plan import Plan
from nba_cli.victims.wrn import WideResNet


def attack_run(**changes: object) -> schema.AttackRun:
    settings = {"attack": BadNets(), "victim": WideResNet(), "dataset": FashionMini(), "precision": Precision.fp32}
    return schema.AttackRun(**(settings | changes))  # type: ignore[arg-type]


def defend_run(**changes: object) -> schema.DefendRun:
    settings = {
        "attack": BadNets(),
        "victim": WideResNet(),
        "dataset": FashionMini(),
        "precision": Precision.fp32,
        "defense": FT(),
    }
    return schema.DefendRun(**(settings | changes))  # type: ignore[arg-type]


def test_a_name_is_readable_and_stable() -> None:
    """Written down: a change of this name orphans every finished run, so it has to be meant."""
    assert runs.name("attack", attack_run()) == "attack/fashion_mini-wrn_16_1-badnets-s0-4998aa569b"
    assert runs.name("defend", defend_run()).startswith("defend/fashion_mini-wrn_16_1-badnets-s0-ft-d0-")


@pytest.mark.parametrize(
    "change",
    [
        {"attack": BadNets(rate=0.05)},
        {"attack": Blend()},
        {"victim": WideResNet(depth=22)},
        {"seed": 1},
        {"dataset": FashionMini(flip=False)},
        {"train": Plan(epochs=20, lr=0.05)},
        {"train": Plan(steps=15)},
        {"precision": Precision.bf16},
    ],
)
def test_what_shapes_the_victim_changes_its_name(change: dict) -> None:
    assert runs.name("attack", attack_run(**change)) != runs.name("attack", attack_run())
    assert runs.name("defend", defend_run(**change)) != runs.name("defend", defend_run())


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": FashionMini(clean_ratio=0.1)},
        {"dataset": FashionMini(clean_seed=1)},
        {"defense_seed": 1},
        {"defense": FT(train=Plan(steps=5))},
        {"defense": NBA()},
    ],
)
def test_what_shapes_the_defense_keeps_its_victim(change: dict) -> None:
    changed = defend_run(**change)
    assert runs.name("defend", changed) != runs.name("defend", defend_run())
    assert runs.name("attack", changed) == runs.name("attack", attack_run())


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cpu"},
        {"output": "elsewhere"},
        {"overwrite": True},
        {"dataset": FashionMini(root="/data")},
        {"train": Plan(epochs=20.0)},
    ],
)
def test_what_shapes_no_result_changes_no_name(change: dict) -> None:
    assert runs.name("defend", defend_run(**change)) == runs.name("defend", defend_run())


def test_a_raised_version_changes_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = runs.name("attack", attack_run())
    monkeypatch.setattr(BadNets, "version", BadNets.version + 1)
    assert runs.name("attack", attack_run()) != before


def test_the_content_of_a_data_file_is_in_the_name_and_its_place_is_not(tmp_path: Path, tiny_file: Path) -> None:
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).write_bytes(tiny_file.read_bytes())
    names = [runs.name("attack", attack_run(dataset=Npz(path=str(tmp_path / name)))) for name in ("a.npz", "b.npz")]
    assert names[0] == names[1]
    (tmp_path / "a.npz").write_bytes(tiny_file.read_bytes() + b"\0")
    assert runs.name("attack", attack_run(dataset=Npz(path=str(tmp_path / "a.npz")))) != names[0]


def test_auto_precision_is_named_by_what_it_resolves_to() -> None:
    auto = attack_run(precision=Precision.auto)
    assert runs.name("attack", auto) == runs.name("attack", attack_run(precision=auto.resolved_precision()))


def test_a_run_survives_its_config_file(tmp_path: Path) -> None:
    defense = NBA(behavior=[Form.attention], student=Plan(steps=9, clip=None))
    run = defend_run(defense=defense, attack=Blend(alpha=0.2), dataset=FashionMini(clean_ratio=0.2))
    runs.begin(tmp_path, "defend", run)
    (tmp_path / "metrics.json").write_text("{}")
    assert runs.load(tmp_path) == run


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not the folder of a finished run"):
        runs.load(tmp_path)
    runs.begin(tmp_path, "evaluate", attack_run())
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(Refused, match="holds no model"):
        runs.load(tmp_path)


def test_an_unwritable_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=r"output=.*file: cannot be written \(.*\)\. Set output=FOLDER"):
        stages.perform("attack", attack_run(output=str(tmp_path / "file")))


def test_history_drops_what_its_checkpoint_has_not_seen(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    first = history.History(file, resume=False)
    for epoch in (1, 2, 3):
        first("victim", 10 * epoch, 50, {"loss": 1.0, "acc": 0.5, "epoch": epoch, "seconds": 2.0 * epoch})
        first("victim", 10 * epoch + 1, 50)
    second = history.History(file, resume=True)  # the checkpoint was that of epoch 2
    assert second.seconds == 6.0, "what is known before the first report"
    second("victim", 30, 50, {"loss": 2.0, "acc": 0.5, "epoch": 3, "seconds": 7.0})
    assert second.seconds == 7.0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["epoch"], line["loss"]) for line in lines] == [(1, 1.0), (2, 1.0), (3, 2.0)]
    history.History(file, resume=False)("victim", 10, 50, {"loss": 3.0, "acc": 0.5, "epoch": 1, "seconds": 1.0})
    assert len(file.read_text().splitlines()) == 1


def test_whoever_needs_a_locked_run_says_so_and_waits(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logs.setup()
    out, order, until = tmp_path / "attack/one", [], time.monotonic() + 30

    def second() -> None:
        with runs.locked(out, tmp_path):
            order.append("second")

    with runs.locked(out, tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        while "waiting: another process works on" not in capfd.readouterr().out and time.monotonic() < until:
            time.sleep(0.01)
        assert time.monotonic() < until, "it says that it waits"
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


PINNED: dict[str, tuple[int, str]] = {
    "attack/none": (1, "01b5"),
    "attack/badnets": (1, "0512"),
    "attack/trojan": (1, "ed22"),
    "attack/blend": (1, "0dbe"),
    "attack/cl": (1, "cd16"),
    "attack/sig": (1, "8c2b"),
    "attack/refool": (2, "3dd9"),
    "attack/wanet": (1, "fc05"),
    "attack/inputaware": (2, "6b0f"),
    "attack/unknown": (1, "01b5"),
    "victim/wrn": (1, "dff8"),
    "victim/preact_resnet18": (1, "9577"),
    "victim/resnet": (1, "0e76"),
    "victim/vgg": (1, "407e"),
    "victim/mobilenet_v2": (1, "9577"),
    "victim/torchvision": (1, "a235"),
    "dataset/fashion_mini": (1, "7925"),
    "dataset/cifar10": (1, "7925"),
    "dataset/cifar100": (1, "7925"),
    "dataset/fashion_mnist": (1, "7925"),
    "dataset/gtsrb": (1, "c0b4"),
    "dataset/svhn": (1, "c0b4"),
    "dataset/npz": (1, "c0b4"),
    "dataset/folder": (1, "4f8b"),
    "defense/none": (1, "4413"),
    "defense/ft": (1, "3dce"),
    "defense/fp": (1, "d813"),
    "defense/mcr": (1, "055d"),
    "defense/nad": (2, "5559"),
    "defense/anp": (1, "e095"),
    "defense/argd": (2, "a2f6"),
    "defense/ibau": (3, "600d"),
    "defense/ftsam": (2, "09f5"),
    "defense/sau": (1, "d2a3"),
    "defense/clp": (1, "e3ec"),
    "defense/nba": (2, "7561"),
}


@pytest.mark.parametrize("cls", schema.KINDS)
def test_a_changed_default_raises_the_version(cls: type) -> None:
    """Defaults are left out of names, so that a changed one has to raise `version`: else old runs pass for new ones.

    When this fails: raise the class's version, then write the new pair down here.
    """
    group = next(name for name, registry in schema.GROUPS.items() if cls in registry.values())
    defaults = {}
    for field in dataclasses.fields(cls):
        if field.metadata.get("shapes", True):
            default = runs.standard(field)
            defaults[field.name] = None if default is dataclasses.MISSING else runs.describe(default)
    digest = hashlib.sha256(json.dumps(defaults, sort_keys=True).encode()).hexdigest()[:4]
    assert PINNED.get(f"{group}/{schema.KINDS[cls]}") == (cls.version, digest)  # type: ignore[attr-defined]
