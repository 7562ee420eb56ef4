"""Every defense of the registry: what has to hold for all of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from builders import BRIEF, SHORT, evidence, untrained, untrained_evidence
from torch import Tensor, nn

from nba_cli.data import Data
from nba_cli.defenses import ANP, CLP, DEFENSES, FP, FTNAD, FTNBA, NAD, NBA, Defense, Evidence
from nba_cli.defenses.nba.pseudo import Pseudo
from nba_cli.errors import Refused
from nba_cli.metrics import Meter
from nba_cli.seeds import generator
from nba_cli.training import Event, Optimizer, Plan, Schedule
from nba_cli.victims import Network


def test_short_covers_the_registry() -> None:
    assert SHORT.keys() == DEFENSES.keys(), "a new defense joins these tests with a short setting"


@pytest.mark.parametrize("name", DEFENSES)
def test_contract(name: str, victim: Network, tiny: Data) -> None:
    """A new network of the same kind, in eval mode; the evidence untouched; the same result for the same seed."""
    before = {key: value.clone() for key, value in victim.state_dict().items()}
    phases = []
    given = evidence(victim, tiny)
    digest = given.clean.digest()
    defense: Defense = DEFENSES[name](**SHORT[name])
    cured = defense(given, generator(0, "defense"), lambda event: phases.append(event.phase))
    again = defense(evidence(victim, tiny), generator(0, "defense"))
    assert cured is not victim and type(cured) is type(victim)
    assert all(torch.equal(value, victim.state_dict()[key]) for key, value in before.items())
    assert given.clean.digest() == digest
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in cured.state_dict().items())
    assert all(parameter.requires_grad for parameter in cured.parameters())
    assert not any(module.training for module in cured.modules()), "whoever calls it gets what was measured"
    if name == "nba":
        assert phases == ["teacher"] * 3 + ["student"] * 3


@pytest.mark.parametrize("name", DEFENSES)
def test_bf16_trains_the_same_weights_as_fp32(name: str, victim: Network, tiny: Data) -> None:
    """PyTorch 2.6 hands a weight that was cast without gradient on to later passes under the same autocast."""
    before = victim.state_dict()
    moved, cures = [], []
    for dtype in (torch.float32, torch.bfloat16):
        given = dataclasses.replace(evidence(victim, tiny), dtype=dtype)
        cured = DEFENSES[name](**SHORT[name])(given, generator(0, "defense"))
        moved.append({key for key, value in cured.named_parameters() if not torch.equal(value, before[key])})
        cures.append(cured.state_dict())
    assert moved[0] == moved[1]
    if name not in ("none", "clp"):
        assert any(not torch.equal(value, cures[1][key]) for key, value in cures[0].items()), "by other arithmetic"


def test_evidence_holds_nothing_of_the_attack() -> None:
    assert [field.name for field in dataclasses.fields(Evidence)] == [
        "model",
        "clean",
        "num_classes",
        "augment",
        "dtype",
        "compiling",
    ]


LONGER: dict[str, tuple[str, dict[str, Any]]] = {
    "ft": ("fine-tune", {"train": Plan(epochs=6, batch=20, lr=0.01)}),
    "fp": ("fine-tune", {"step": 0.3, "train": Plan(epochs=6, batch=20, lr=0.01)}),
    "ft_nad": ("fine-tune", {"train": Plan(epochs=6, batch=20, lr=0.01)}),
    "ft_nba": ("fine-tune", {"train": Plan(epochs=6, batch=20, lr=0.01)}),
    "ft_kd": ("fine-tune", {"train": Plan(epochs=6, batch=20, lr=0.01)}),
    "mcr": ("curve", {"tune": Plan(steps=2, lr=0.01), "train": Plan(epochs=20, batch=20, lr=0.05)}),
    "nad": ("student", {"teacher": Plan(steps=9, lr=0.01), "student": Plan(epochs=6, batch=20, lr=0.01)}),
    "anp": ("mask", {"train": Plan(epochs=6, batch=20, lr=0.2, schedule=Schedule.constant, decay=0.0)}),
    "argd": ("student", {"teacher": Plan(steps=9, lr=0.01), "student": Plan(epochs=6, batch=20, lr=0.01)}),
    "ibau": ("i-bau", {"train": Plan(epochs=6, batch=20, lr=3e-3, optimizer=Optimizer.adam)}),
    "ftsam": ("ft-sam", {"rho": 0.5, "train": Plan(epochs=6, batch=20, lr=0.02)}),
    "sau": ("unlearn", {"train": Plan(epochs=6, batch=20, lr=3e-3, optimizer=Optimizer.adam), "steps": 2}),
    "nba": ("student", {"teacher": Plan(steps=9, lr=0.01), "student": Plan(epochs=6, batch=20, lr=0.02)}),
}


def test_every_defense_that_trains_is_among_them() -> None:
    assert LONGER.keys() == DEFENSES.keys() - {"none", "clp"}


@pytest.mark.parametrize("name", LONGER)
def test_a_defense_drives_its_own_objective_down(name: str, tiny: Data) -> None:
    phase, settings = LONGER[name]
    losses: list[float] = []

    def note(event: Event) -> None:
        if event.phase == phase and event.scalars and "epoch" in event.scalars:
            losses.append(event.scalars["loss"])

    DEFENSES[name](**settings)(untrained_evidence(tiny), generator(0, "defense"), note)
    assert len(losses) >= 6 and losses[-1] < losses[0]


def test_a_victim_without_batch_norm_or_linear_head_is_refused_in_a_sentence(tiny: Data) -> None:
    class Bare(Network):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def stages(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
            out = self.conv(x)
            return [out], out.mean((2, 3))

    given = Evidence(model=Bare(), clean=tiny, num_classes=3)
    for defense in (ANP(), CLP()):
        with pytest.raises(Refused, match="works on batch-norm layers; this victim has none"):
            defense(given, generator(0, "defense"))
    with pytest.raises(Refused, match="no such layer"):
        FP()(given, generator(0, "defense"))


def test_the_control_of_nba_makes_as_many_backward_passes() -> None:
    nba, control = NBA(), FTNBA().train
    assert FTNBA().backward_images(2500) == pytest.approx(nba.backward_images(2500), rel=0.005)
    assert control == dataclasses.replace(nba.teacher, steps=control.steps)


def test_the_control_of_nad_has_its_schedule() -> None:
    assert FTNAD().train == NAD().student == NAD().teacher


COUNTED = [(name, {}) for name in DEFENSES if name not in ("none", "clp")]
COUNTED.append(("ibau", {"train": Plan(epochs=2, batch=20, lr=1e-3, optimizer=Optimizer.adam)}))


@pytest.mark.parametrize(("name", "more"), COUNTED)
def test_a_defense_knows_how_many_images_it_passes_backward(name: str, more: dict[str, Any], tiny: Data) -> None:
    given = evidence(untrained(tiny), tiny)
    defense = DEFENSES[name](**SHORT[name] | more)
    meter = Meter(given.model)
    defense(given, generator(0, "defense"))
    assert defense.backward_images(len(given.clean)) == pytest.approx(meter.counts["backward"], rel=0.1)


@pytest.mark.parametrize("name", DEFENSES)
def test_an_equal_budget_is_that_of_nba(name: str) -> None:
    wanted = NBA().backward_images(2500)
    defense = DEFENSES[name]().with_budget(wanted, 2500)
    if name in ("none", "clp"):
        assert defense == DEFENSES[name](), "no length to choose"
    else:
        assert defense.backward_images(2500) == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize(("pseudo", "resist"), [*((each, 0.0) for each in Pseudo), (Pseudo.mixed, 1.0)])
def test_nbas_backward_passes_follow_its_pseudo_samples(pseudo: Pseudo, resist: float, tiny: Data) -> None:
    given = evidence(untrained(tiny), tiny)
    plan = Plan(steps=3, lr=0.01, batch=24)
    defense = NBA(pseudo=pseudo, resist=resist, teacher=plan, student=plan)
    meter = Meter(given.model)
    defense(given, generator(0, "defense"))
    assert defense.backward_images(len(given.clean)) == pytest.approx(meter.counts["backward"], rel=0.01)


def test_a_defense_that_does_not_say_what_it_costs_has_no_equal_budget() -> None:
    @dataclasses.dataclass(kw_only=True)
    class Plugin(Defense):
        train: Plan = dataclasses.field(default_factory=lambda: BRIEF)

    with pytest.raises(Refused, match="budget=equal: this defense does not say"):
        Plugin().with_budget(1000, 100)


def test_evidence_leaves_the_mode_of_every_layer(tiny: Data) -> None:
    model = untrained(tiny, 0).train()
    model.bn1.eval()  # type: ignore[union-attr]
    Evidence(model=model, clean=tiny, num_classes=3)
    assert model.training and model.conv1.training and not model.bn1.training  # type: ignore[union-attr]
