"""Compiled networks train as plain ones do, a compiler that fails costs a warning, and auto compiles what repays it.

The fast tests compile for a backend that runs what was traced without generating code; a slow one takes the real one.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import Run
from torch import Tensor, nn

from nba_cli import files
from nba_cli.data import Augment, Data
from nba_cli.defenses import DEFENSES, Evidence
from nba_cli.metrics import Meter
from nba_cli.seeds import generator
from nba_cli.training import Compiling, Event, Plan, compiling, cross_entropy, fit
from nba_cli.victims import WideResNet


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield
    torch.compiler.reset()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """torch.compile without code generation; what it was asked to compile."""
    asked: list[object] = []
    real = torch.compile

    def compile_traced(what: object, **options: object) -> object:
        asked.append(what)
        return real(what, backend="aot_eager")  # type: ignore[call-overload]

    monkeypatch.setattr(torch, "compile", compile_traced)
    return asked


def losses(data: Data, how: Compiling, steps: int = 6, dtype: torch.dtype = torch.float32) -> list[float]:
    """Of every step of a training."""
    found: list[float] = []

    def note(event: Event) -> None:
        found.append(event.scalars["loss"] if event.scalars else float("nan"))

    fit(
        WideResNet(depth=10).build(3, data),
        data,
        Plan(steps=steps, batch=len(data), lr=0.05),  # an epoch a step: each tells its loss
        augment=Augment(),
        generator=generator(0, "train"),
        dtype=dtype,
        progress=note,
        compiling=how,
    )
    return found


def test_a_compiled_network_trains_as_a_plain_one(tiny: Data, traced: list[object]) -> None:
    plain, compiled = losses(tiny, Compiling.off), losses(tiny, Compiling.on)
    assert traced and len(plain) == 6
    assert compiled == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize(
    "name", ["fp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ft", "ft_kd", "nad", "argd", "nba"))]
)
def test_a_compiled_defense_makes_the_same_network_by_the_same_passes(
    tiny: Data, traced: list[object], name: str
) -> None:
    suspect = WideResNet(depth=10).build(3, tiny)
    made, counts = [], []
    for how in (Compiling.off, Compiling.on):
        model = copy.deepcopy(suspect)
        meter = Meter(model)
        evidence = Evidence(model=model, clean=tiny, num_classes=3, compiling=how)
        defense = DEFENSES[name]().with_budget(30 * len(tiny), len(tiny))
        made.append(dict(defense(evidence, generator(0, "defense")).named_parameters()))
        counts.append(meter.counts)
    assert traced and counts[0] == counts[1]
    change, difference = (
        max((value - made[0][key]).abs().max().item() for key, value in of.items())
        for of in (dict(suspect.named_parameters()), made[1])
    )
    assert change > 1e-3 and difference < change / 100


def test_every_layer_is_in_training_mode_while_it_trains_and_in_eval_mode_afterwards(
    tiny: Data, traced: list[object]
) -> None:
    network, modes = WideResNet(depth=10).build(3, tiny).eval(), []

    def objective(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        modes.extend(module.training for each in (model, network) for module in each.modules())
        return cross_entropy(model, x, y)

    given = {"augment": Augment(), "generator": generator(0, "train"), "compiling": Compiling.on}
    fit(network, tiny, Plan(steps=1, batch=4), objective, **given)  # type: ignore[arg-type]
    assert traced and all(modes) and not any(module.training for module in network.modules())


def test_copies_of_a_compiled_network_are_plain(tiny: Data, traced: list[object]) -> None:
    network = WideResNet(depth=10).build(3, tiny)
    network.compile()
    assert "stages" in vars(network) and "stages" not in vars(copy.deepcopy(network))
    network = copy.deepcopy(network)
    twin = compiling.twin(network, graphs=False)
    assert "stages" in vars(twin) and "stages" not in vars(network)
    own, shared = (
        {name: id(value) for name, value in one.state_dict(keep_vars=True).items()} for one in (network, twin)
    )
    assert own == shared


def test_a_failing_compiler_costs_a_warning(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler\nand much more")

    monkeypatch.setattr(torch, "compile", fail)
    monkeypatch.setattr(logging.getLogger("nba"), "warning", lines.append)
    assert losses(tiny, Compiling.on) == losses(tiny, Compiling.off)
    (line,) = lines
    assert line == "compile=true: the compiler failed (no C++ compiler); training goes on without it."
    (file,) = files.cache_folder().glob("compile-*.json")
    file.write_text('{"plain": 1.0, "compiled": 0.5, "compiling": 1.0}')  # it did not fail in an earlier process
    assert losses(tiny, Compiling.on) == losses(tiny, Compiling.off)
    assert lines == [line, line]


@pytest.fixture
def races(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    """What the next races find, the plain network first; those that were run are taken off. Compiling takes 30 s."""
    found: list[list[float]] = []
    monkeypatch.setattr(compiling, "race", lambda *_: found.pop(0))
    monkeypatch.setattr(compiling, "seconds", lambda *_: 30.0)
    return found


def is_compiled(network: nn.Module, steps: int, how: Compiling = Compiling.auto) -> bool:
    x = torch.zeros(2, 3, 8, 8)
    return compiling.chosen(how, network, x, torch.float32, steps, graphs=True) is not network


def test_auto_compiles_what_repays_its_cost(tiny: Data, traced: list[object], races: list[list[float]]) -> None:
    network = WideResNet(depth=10).build(3, tiny)
    races[:] = [[0.2]]
    assert not is_compiled(network, 499) and races  # too short for a trial
    assert not is_compiled(network, 899) and not races  # less than 180 s: too short for the compiler
    assert not is_compiled(network, 899)  # nor is the plain one asked again: it would decide otherwise another time
    races[:] = [[0.25, 0.15]]  # 0.1 s a step saved, 4 x 30 s to compile
    assert not is_compiled(network, 1199) and not races
    assert is_compiled(network, 1200)  # and the trial is remembered: none is left to ask
    assert is_compiled(network, 1, Compiling.on)
    (file,) = files.cache_folder().glob("compile-*.json")
    for damaged in ("{", "[]", file.read_text().replace("0.25", "0.35")):  # valid, and yet not what was written
        file.write_text(damaged)
        races[:] = [[0.2], [0.2, 0.3]]
        assert not is_compiled(network, 10**6) and not races


def test_a_trial_is_remembered_for_its_network_batch_precision_and_machine(
    tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, x = WideResNet(depth=10).build(3, tiny), torch.zeros(2, 3, 8, 8)
    usual = compiling.record_file(network, x, torch.float32, True)
    assert usual == compiling.record_file(WideResNet(depth=10).build(3, tiny, seed=1), x + 1, torch.float32, True)
    others = [
        compiling.record_file(WideResNet(depth=10).build(2, tiny), x, torch.float32, True),
        compiling.record_file(network, x[:1], torch.float32, True),
        compiling.record_file(network, x, torch.bfloat16, True),
        compiling.record_file(network, x, torch.float32, False),
    ]
    for name, value in (
        ("torch.get_num_threads", lambda: 1000),
        ("torch.__version__", "0"),
        ("nba_cli.devices.processor", lambda device: "another"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(name, value)
            others.append(compiling.record_file(network, x, torch.float32, True))
    assert len({usual, *others}) == 8


def test_the_two_networks_of_a_trial_take_turns_and_their_fastest_passes_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another program that begins or ends during the trial decides nothing."""
    plain, compiled, passed = nn.Identity(), nn.Identity(), []

    def loaded(network: nn.Module, *_: object) -> float:
        passed.append(network)
        busy = len(passed) <= compiling.TIMED  # somebody else's program, half of the time
        return (0.2 if network is plain else 0.19) * (3 if busy else 1)

    monkeypatch.setattr(compiling, "seconds", loaded)
    assert compiling.race([plain, compiled], torch.zeros(1), torch.float32) == [0.2, 0.19]
    timed = passed[2 * compiling.WARM :]
    assert timed == [plain, compiled] * compiling.TIMED


def test_no_pass_of_a_trial_adds_to_the_gradients_of_another(tiny: Data) -> None:
    """A graph on CUDA refuses to."""
    network, x = WideResNet(depth=10).build(3, tiny), torch.rand(4, 3, 16, 16)
    found = []
    for _ in range(2):
        compiling.seconds(network, x, torch.float32)
        grad = network.get_parameter("fc.weight").grad
        assert grad is not None
        found.append(grad.clone())
    assert found[0].any() and torch.equal(*found)


def test_auto_leaves_a_gpu_alone() -> None:
    """Nobody has measured it there."""
    network, x = nn.Identity(), torch.zeros(2, 3, 8, 8, device="meta")
    assert compiling.chosen(Compiling.auto, network, x, torch.float32, 10**6, graphs=True) is network


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_generated_code_follows_the_plain_losses(tiny: Data, dtype: torch.dtype) -> None:
    plain, compiled = (losses(tiny, how, 30, dtype) for how in (Compiling.off, Compiling.on))
    assert compiled[:5] == pytest.approx(plain[:5], rel=0.02)
    assert compiled[-1] == pytest.approx(plain[-1], abs=0.1)


def test_compile_is_an_option_of_what_trains(nba: Run, traced: list[object]) -> None:
    code, out = nba("attack", "compile=perhaps")
    assert code == 2 and "compile=perhaps: choose auto, true or false." in out
    given = ["attack=badnets", "victim.depth=10", "train.epochs=null", "train.steps=3", "train.batch=8"]
    code, out = nba("attack", *given, "compile=true")
    assert code == 0 and traced and "times as fast" in out
    code, out = nba("attack", *given, "compile=false")  # one of rounding's choices: it is no other run
    assert code == 0 and "overwrite=true" in out
    traced.clear()
    code, out = nba("attack", *given, "compile=false", "overwrite=true")
    assert code == 0 and not traced and "times as fast" not in out
    code, out = nba("defend", *given, "defense=ft", "defense.train.steps=2", "compile=true")
    assert code == 0 and traced and "times as fast" in out
