"""The jobs of a sweep are composed as Hydra composes them, only less often."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Run
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from nba_cli.cli import sweep, tasks
from nba_cli.cli.composer import Composer
from nba_cli.errors import Refused
from nba_cli.files import conf_dir
from nba_cli.runs import compose
from nba_cli.runs.job_run import Bases

Loaders = tuple[ConfigLoaderImpl, Composer, DictConfig]


@pytest.fixture(scope="module")
def loaders() -> Loaders:
    """Hydra's loader, ours, and the config of a sweep of `nba defend`."""
    compose.install()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        master = hydra_compose("defend", [], return_hydra_config=True)
        hydra = GlobalHydra.instance().config_loader()
        assert isinstance(hydra, ConfigLoaderImpl)
    return hydra, Composer(hydra.get_search_path()), master


def test_each_job_has_a_config_of_its_own() -> None:
    made: list[tuple[str, ...]] = []

    def composed(words: tuple[str, ...]) -> DictConfig:
        made.append(words)
        return OmegaConf.create({"seed": 0, "attack": {"rate": 0.1, "of": "${seed}"}, "words": list(words)})

    bases = Bases(composed)
    chosen = (("attack", "attack=blend"),)
    one, two = (bases.base(("+experiment=x",), chosen) for _ in range(2))
    one.seed, one.attack.rate = 7, 0.5
    assert (one.attack.of, two.attack.of) == (7, 0) and two.attack.rate == 0.1
    assert bases.base(("+experiment=x",), chosen) == two, "what is kept has not changed either"
    assert made == [("+experiment=x",), ("+experiment=x", "attack=blend")], "composed once"


def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The overrides of each time that Hydra composes."""
    found: list[list[str]] = []
    usual = ConfigLoaderImpl.load_configuration

    def watched(self: ConfigLoaderImpl, config_name: str, overrides: list[str], *args: Any, **more: Any) -> DictConfig:
        found.append(list(overrides))
        return usual(self, config_name, overrides, *args, **more)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", watched)
    return found


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["seed=3"],
        ["attack=blend", "attack.alpha=0.3", "seed=3", "defense=ft", "defense.train.steps=7"],
        ["attack.rate=0.3", "attack=sig", "precision=fp32", "budget=equal", "output=some/where"],
        ["defense.behavior=[response,attention]", "victim.mean=[0.5,0.5,0.5]", "dataset.root=null"],
        ["train={steps: 3, epochs: null}", "train.lr=1e-2", "victim=vgg16_bn"],
        ["defense_seed=${seed}", "seed=4", "dataset=npz", "dataset.path='a, b=c.npz'"],
        ["+experiment=six_attacks", "attack=trojan", "seed=2"],
        ["+experiment=demo/datasets", "dataset=fashion_mini"],
        ["seed=1", "+seed_of_nobody=2"],
        ["train.lr=0.5", "++train.lr=0.6"],
        ["attack=blend", "~defense", "seed=2"],
    ],
)
def test_a_job_is_composed_as_hydra_does(loaders: Loaders, words: list[str]) -> None:
    hydra, ours, master = loaders
    wanted, found = hydra.load_sweep_config(master, words), ours.load_sweep_config(master, words)
    assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(wanted), "hydra's own settings too"
    if "~defense" not in words and "+seed_of_nobody=2" not in words:
        assert compose.typed_run(found, "defend") == compose.typed_run(wanted, "defend")


@pytest.mark.parametrize(
    "words",
    [
        ["seed=x"],
        ["attack.typo=1"],
        ["attack=typo"],
        ["attack=none", "attack.alpha=1"],
        ["defense=none", "defense.train.steps=1"],
        ["experiment=six_attacks"],
        ["precision=fp9", "seed=1"],
        ["train=7"],
        ["seed@train=7"],
        ["attack=blend", "~attack.alpha", "seed=2"],
    ],
)
def test_what_hydra_refuses_is_refused_in_its_words(loaders: Loaders, words: list[str]) -> None:
    hydra, ours, master = loaders
    said = []
    for load in (hydra.load_sweep_config, ours.job):
        with pytest.raises(Exception, match=r".") as refusal:
            load(master, words)
        said.append((type(refusal.value), str(refusal.value), str(refusal.value.__cause__)))
    assert said[0] == said[1]
    with pytest.raises(Refused):  # when the job's turn has come
        compose.typed_run(ours.load_sweep_config(master, words), "defend")


def test_jobs_that_choose_the_same_parts_are_composed_once(loaders: Loaders, monkeypatch: pytest.MonkeyPatch) -> None:
    hydra, _, master = loaders
    ours, composed = Composer(hydra.get_search_path()), calls(monkeypatch)
    for seed in range(5):
        for attack in ("blend", "sig"):
            config = ours.load_sweep_config(master, [f"attack={attack}", f"seed={seed}", "train.steps=3"])
            assert (config.seed, "alpha" in config.attack, config.train.steps) == (seed, attack == "blend", 3)
            config.train.steps = 99  # what a job does to its config is its own affair
    assert composed == [["attack=blend"], ["attack=sig"]]
    assert len(ours.composed) == 2 and ours.__getstate__()["composed"] == {}, "workers are not sent it"


def test_a_sweep_composes_its_choices_and_types_its_jobs_once_for_their_names_and_once_to_run(
    nba: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed, typed = calls(monkeypatch), []
    usual = compose.typed_run
    for module in (compose, tasks):
        monkeypatch.setattr(module, "typed_run", lambda cfg, stage: typed.append(stage) or usual(cfg, stage))
    monkeypatch.setattr(tasks, "perform", lambda stage, run: None)
    monkeypatch.setattr(sweep, "show_finished", lambda folders: None)
    assert nba("attack", "-m", "attack=none,blend", "seed=range(6)")[0] == 0
    plain = [words for words in composed if "seed=range(6)" not in words]
    ahead, jobs = plain[:-2], plain[-2:]
    assert [[word for word in words if "attack" in word] for words in jobs] == [["attack=none"], ["attack=blend"]]
    assert ahead == [[], ["dataset=npz"], ["attack=none"], ["attack=blend"]], "the estimate composes a choice once, too"
    assert len(typed) == 2 * 12


def test_a_run_is_typed_as_hydra_has_composed_it(loaders: Loaders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merging the whole config into its schema once more took most of the time."""
    config = loaders[0].load_sweep_config(loaders[2], ["attack=blend", "defense=ft"])
    for name in ("merge", "structured", "masked_copy"):
        monkeypatch.delattr(OmegaConf, name)
    assert compose.typed_run(config, "defend").seed == 0  # type: ignore[attr-defined]


def test_a_launchers_class_may_have_been_loaded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker of joblib, where its settings are of a class that is not the one found by its name."""
    config = pytest.importorskip("hydra_plugins.hydra_joblib_launcher.config")
    compose.install()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        master = hydra_compose("defend", ["hydra/launcher=joblib"], return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, ConfigLoaderImpl)
        monkeypatch.setattr(config, "JobLibLauncherConf", type("JobLibLauncherConf", (), {}))
        one, two = (Composer(loader.get_search_path()).job(master, [f"seed={seed}"]) for seed in (1, 2))
    assert (one.seed, two.seed) == (1, 2)
