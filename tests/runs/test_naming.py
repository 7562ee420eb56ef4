"""The names of run folders."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import torch

from attacks import BadNets, Blend, Trojan, Unknown
from nba_cli import options
from nba_cli.data import Cifar10, Dataset
from nba_cli.data.fashion_mini import FashionMini
from nba_cli.data.npz import Npz
from nba_cli.defenses import FT, NBA
from nba_cli.devices import Precision
from nba_cli.loggers import Logger, WandB
from nba_cli.loggers.wandb import Mode
from nba_cli.runs import foreign, naming, settings
from nba_cli.runs.derived import as_helper
from nba_cli.runs.plain import to_plain
from nba_cli.runs.registry import GROUPS, KINDS
from nba_cli.runs.settings import AttackRun, Budget, DefendRun
from nba_cli.training import Plan
from nba_cli.victims import PreActResNet18, Torchvision, WideResNet, external
from nba_cli.victims.origin import Origin


def attack_run(**changes: object) -> AttackRun:
    settings = {"attack": BadNets(), "victim": WideResNet(), "dataset": FashionMini(), "precision": Precision.fp32}
    return AttackRun(**(settings | changes))  # type: ignore[arg-type]


def defend_run(**changes: object) -> DefendRun:
    settings = {
        "attack": BadNets(),
        "victim": WideResNet(),
        "dataset": FashionMini(),
        "precision": Precision.fp32,
        "defense": FT(),
    }
    return DefendRun(**(settings | changes))  # type: ignore[arg-type]


def test_a_name_is_readable_and_stable() -> None:
    """Written down: a change of this name orphans every finished run, so it has to be meant."""
    assert naming.name("attack", attack_run()) == "attack/fashion_mini-wrn_16_1-badnets-s0-4998aa569b"
    assert naming.name("defend", defend_run()).startswith("defend/fashion_mini-wrn_16_1-badnets-s0-ft-d0-")


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
    assert naming.name("attack", attack_run(**change)) != naming.name("attack", attack_run())
    assert naming.name("defend", defend_run(**change)) != naming.name("defend", defend_run())


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
    assert naming.name("defend", changed) != naming.name("defend", defend_run())
    assert naming.name("attack", changed) == naming.name("attack", attack_run())


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cpu"},
        {"output": "elsewhere"},
        {"overwrite": True},
        {"logger": WandB(project="other", mode=Mode.online)},
        {"dataset": FashionMini(root="/data")},
        {"train": Plan(epochs=20.0)},
    ],
)
def test_what_shapes_no_result_changes_no_name(change: dict) -> None:
    assert naming.name("defend", defend_run(**change)) == naming.name("defend", defend_run())


def test_a_logger_stays_out_of_the_record_and_away_from_helpers() -> None:
    run = attack_run(attack=Trojan(), logger=WandB(entity="someone"))
    assert to_plain(run) == to_plain(attack_run(attack=Trojan()))
    assert type(as_helper(run).logger) is Logger


def test_a_raised_version_changes_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = naming.name("attack", attack_run())
    monkeypatch.setattr(BadNets, "version", BadNets.version + 1)
    assert naming.name("attack", attack_run()) != before


def test_an_equal_budget_is_named_by_the_version_of_nba(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which sets how long it is."""
    runs = [defend_run(), defend_run(budget=Budget.equal)]
    before = [naming.name("defend", run) for run in runs]
    monkeypatch.setattr(NBA, "version", NBA.version + 1)
    after = [naming.name("defend", run) for run in runs]
    assert after[0] == before[0] and after[1] != before[1]


def test_the_content_of_a_data_file_is_in_the_name_and_its_place_is_not(tmp_path: Path, tiny_file: Path) -> None:
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).write_bytes(tiny_file.read_bytes())
    names = [naming.name("attack", attack_run(dataset=Npz(path=str(tmp_path / name)))) for name in ("a.npz", "b.npz")]
    assert names[0] == names[1]
    (tmp_path / "a.npz").write_bytes(tiny_file.read_bytes() + b"\0")
    assert naming.name("attack", attack_run(dataset=Npz(path=str(tmp_path / "a.npz")))) != names[0]


def test_auto_precision_is_named_by_what_it_resolves_to() -> None:
    auto = attack_run(precision=Precision.auto)
    assert naming.name("attack", auto) == naming.name("attack", attack_run(precision=auto.resolved_precision()))


PINNED: dict[str, tuple[int, str]] = {
    "attack/none": (1, "01b5"),
    "attack/badnets": (1, "0512"),
    "attack/trojan": (2, "31a2"),
    "attack/blend": (1, "0dbe"),
    "attack/cl": (3, "198e"),
    "attack/sig": (1, "8c2b"),
    "attack/refool": (3, "df18"),
    "attack/wanet": (2, "fc05"),
    "attack/inputaware": (2, "6b0f"),
    "attack/hardened": (1, "c916"),
    "attack/lookalike": (1, "f451"),
    "attack/images": (1, "01b5"),
    "attack/unknown": (1, "01b5"),
    "victim/wrn": (1, "dff8"),
    "victim/preact_resnet18": (1, "9577"),
    "victim/resnet": (1, "0e76"),
    "victim/vgg": (1, "407e"),
    "victim/mobilenet_v2": (1, "9577"),
    "victim/vit_tiny": (1, "b0e3"),
    "victim/torchvision": (1, "a235"),
    "dataset/fashion_mini": (1, "b8c3"),
    "dataset/cifar10": (1, "b8c3"),
    "dataset/cifar100": (1, "b8c3"),
    "dataset/fashion_mnist": (1, "b8c3"),
    "dataset/gtsrb": (1, "abdf"),
    "dataset/svhn": (1, "abdf"),
    "dataset/npz": (1, "9a43"),
    "dataset/folder": (2, "abdf"),
    "dataset/tiny_imagenet": (2, "e7cd"),
    "defense/none": (1, "4413"),
    "defense/ft": (2, "a080"),
    "defense/ft_nad": (1, "3c24"),
    "defense/ft_nba": (2, "33f8"),
    "defense/ft_kd": (1, "3ea0"),
    "defense/fp": (2, "ddc8"),
    "defense/mcr": (5, "56f8"),
    "defense/nad": (3, "bcf0"),
    "defense/anp": (3, "12d0"),
    "defense/argd": (6, "dcec"),
    "defense/ibau": (5, "f7cf"),
    "defense/ftsam": (3, "e484"),
    "defense/sau": (2, "4629"),
    "defense/clp": (2, "e3ec"),
    "defense/nba": (5, "da9f"),
}


@pytest.mark.parametrize(
    ("usual", "named", "other"),
    [(FashionMini(), FashionMini(size=32), FashionMini(size=64)), (Cifar10(), Cifar10(size=32), Cifar10(size=64))],
)
def test_a_size_of_ones_own_is_in_the_name(usual: Dataset, named: Dataset, other: Dataset) -> None:
    names = [naming.name("attack", attack_run(dataset=dataset)) for dataset in (usual, named, other)]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("cls", KINDS)
def test_a_changed_default_raises_the_version(cls: type) -> None:
    """Defaults are left out of names, so that a changed one has to raise `version`: else old runs pass for new ones.

    When this fails: raise the class's version (but for a new option whose default leaves all as it was), then write
    the new pair down here.
    """
    group = next(name for name, registry in GROUPS.items() if cls in registry.values())
    defaults = {}
    for field in dataclasses.fields(cls):
        if field.metadata.get("stages", True):  # part of the names of some stage's runs
            default = settings.default_of(field)
            defaults[field.name] = None if default is dataclasses.MISSING else to_plain(default)
    digest = hashlib.sha256(json.dumps(defaults, sort_keys=True).encode()).hexdigest()[:4]
    assert PINNED.get(f"{group}/{KINDS[cls]}") == (cls.version, digest)  # type: ignore[attr-defined]


def test_the_defaults_of_a_run_stay() -> None:
    """They are left out of names too, and a run has no version to raise: a changed one would let old runs pass for new
    ones. An option that is added is written down here with the default that runs had before it."""
    named = [option for option in dataclasses.fields(DefendRun) if options.names_run(option, "defend")]
    plan = {"epochs": 20.0, "steps": None, "batch": 128, "lr": 0.1, "schedule": "onecycle", "drops": [],
            "optimizer": "sgd", "momentum": 0.9, "decay": 0.0005, "clip": None, "average": None}  # fmt: skip
    assert {option.name: to_plain(settings.default_of(option)) for option in named if option.name not in GROUPS} == {
        "train": plan,
        "seed": 0,
        "budget": "published",
        "defense_seed": 0,
        "tune": False,
    }


def test_weights_that_name_their_victim_are_read_once_while_they_stay_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of a sweep is typed twice, and its weights may be hundreds of megabytes."""
    read: list[Path] = []
    usual = external.read
    monkeypatch.setattr(external, "read", lambda file: read.append(file) or usual(file))
    file = tmp_path / "model.pt"
    run = defend_run(weights=str(file), attack=Unknown())
    for name, cls in (("preactresnet18", PreActResNet18), ("resnet18", Torchvision)):
        torch.save({"model_name": name, "model": {"a": torch.ones(1)}}, file)
        for _ in range(3):
            assert type(foreign.completed(run, ()).victim) is cls
    assert len(read) == 2


def test_an_option_of_the_attack_is_no_choice_of_a_trigger() -> None:
    """The default of nba defend, badnets, says nothing of a model from elsewhere."""
    origin, badnets = Origin(target=0), BadNets(target=2)
    assert isinstance(foreign.attack_of(origin, badnets, None, True, ["attack.target"]), Unknown)
    assert isinstance(foreign.attack_of(origin, badnets, None, True, ["attack", "attack.target"]), BadNets)
    assert isinstance(foreign.attack_of(origin, badnets, None, True, ["attack.pattern"]), BadNets)


def test_images_of_a_known_set_come_in_the_size_that_a_file_says() -> None:
    """As BackdoorBench resizes CIFAR-10 to 224x224 for a transformer; an .npz holds what its owner made."""
    origin = Origin(side=224)
    assert foreign.with_size(Cifar10(), origin, ()) == Cifar10(size=224)
    assert foreign.with_size(Cifar10(), Origin(side=32), ()) == Cifar10()
    assert foreign.with_size(Cifar10(size=64), origin, ["dataset.size"]) == Cifar10(size=64)
    assert foreign.with_size(Npz(path="x"), origin, ()) == Npz(path="x")


def test_a_kept_victim_of_another_precision_leaves_the_rest_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "kept_victim", lambda run: Path("kept"))
    monkeypatch.setattr(naming, "precision_of", lambda folder: Precision.bf16)
    others = [WideResNet(), WideResNet(mean=[0.5] * 3, std=[0.5] * 3)]  # what the label does not say
    names = [naming.name("defend", defend_run(victims="kept", victim=victim)) for victim in others]
    assert len({*names, naming.name("defend", defend_run())}) == 3
