"""The method: its losses by hand, and what it does to a tiny victim."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from builders import ATTACK, SHORT, evidence, halved

from nba_cli.data import Augment, Data
from nba_cli.defenses import NBA
from nba_cli.defenses._mixup import mixed_up, soft_labels
from nba_cli.defenses._teacher import Source
from nba_cli.defenses.nba.answers import Answers, Decoupled, decoupled, of_teacher
from nba_cli.defenses.nba.behavior import Form, behave, distance, divergence
from nba_cli.defenses.nba.pseudo import CRAFTERS, Craft, Pseudo
from nba_cli.errors import Refused
from nba_cli.metrics import measure
from nba_cli.seeds import generator
from nba_cli.training import Event, Plan
from nba_cli.victims import Network, WideResNet


def networks(victim: Network, tiny: Data) -> tuple[Network, Network, torch.Tensor, torch.Tensor]:
    teacher = WideResNet(depth=10).build(3, tiny, seed=4).eval().requires_grad_(False)
    return victim, teacher, tiny.images[:12].float() / 255, tiny.labels[:12]


def shifted(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Another view of uint8 images: one of the eight shifts that `random` draws."""
    return images.roll(int(torch.randint(8, (), generator=random)), 3).float() / 255


def test_nba_repairs_more_than_its_ablation_without_pseudo_samples(victim: Network, tiny: Data) -> None:
    before = measure(victim, tiny, ATTACK, 3)
    after = {}
    for pseudo in (Pseudo.mixed, Pseudo.none):
        student = Plan(steps=40, lr=0.01, clip=1.0)
        nba = NBA(
            source=Source.suspect,
            student=student,
            pseudo=pseudo,
            pseudo_share=1.0,
            eps=0.1,
            eps_low=0.1,
            kd=1.0,
            beta=2.0,
            gamma=2.0,
            mixup=0.0,
        )
        after[pseudo] = measure(nba(evidence(victim, tiny), generator(0, "defense")), tiny, ATTACK, 3)
    cured, control = after[Pseudo.mixed], after[Pseudo.none]
    assert cured["asr"] < before["asr"] - 0.5 and cured["ra"] > before["ra"] + 0.5  # type: ignore[operator]
    assert cured["ra"] > control["ra"] + 0.1 and cured["acc"] > 0.9  # type: ignore[operator]


def test_nba_repairs_with_its_own_weights(victim: Network, tiny: Data) -> None:
    before = measure(victim, tiny, ATTACK, 3)
    nba = NBA(
        teacher=Plan(steps=60, lr=0.2, clip=1.0, average=0.9), student=Plan(steps=40, lr=0.05, clip=1.0, average=0.9)
    )
    after = measure(nba(evidence(victim, tiny), generator(0, "defense")), tiny, ATTACK, 3)
    assert after["asr"] < before["asr"] - 0.5 and after["ra"] > 0.5 and after["acc"] > 0.85, after  # type: ignore[operator]


@pytest.mark.parametrize("source", Source)
def test_the_suspect_or_a_tuned_copy_teaches(
    victim: Network, tiny: Data, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[Network] = []
    plain = NBA.objective
    monkeypatch.setattr(
        NBA, "objective", lambda self, teacher, *more: taught.append(teacher) or plain(self, teacher, *more)
    )
    nba, given = NBA(**SHORT["nba"], source=source), evidence(victim, tiny)
    nba(given, generator(0, "x"))
    (teacher,) = taught
    same = [torch.equal(one, two) for one, two in zip(teacher.parameters(), victim.parameters(), strict=True)]
    assert all(same) == (source is Source.suspect) and teacher is not victim
    assert not teacher.training and not any(weight.requires_grad for weight in teacher.parameters())
    still = dataclasses.replace(
        nba, student=dataclasses.replace(nba.student, steps=1, epochs=None, lr=1e-12, average=None)
    )
    student = still(given, generator(0, "x"))
    for one, two in zip(student.parameters(), taught[1].parameters(), strict=True):
        torch.testing.assert_close(one, two, msg="the student starts as the teacher")
    other = dataclasses.replace(nba, source=Source.tuned).backward_images(72)
    assert other - nba.backward_images(72) == (0 if source is Source.tuned else nba.teacher.images(72))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_nba_stays_finite_and_exact_in_low_precision(victim: Network, tiny: Data, dtype: torch.dtype) -> None:
    """Gram sums over a 32x32 map of values around 40 exceed fp16's range, though the normalised result does not."""
    stages = [torch.full((2, 4, 32, 32), 40.0), torch.rand(2, 4, 16, 16)]
    with torch.autocast("cpu", dtype):
        found = behave([stage.to(dtype) for stage in stages], [Form.response, Form.learning])
    assert all(part.dtype == torch.float32 and part.isfinite().all() for part in found)
    losses: list[float] = []

    def note(event: Event) -> None:
        losses.extend([event.scalars["loss"]] if event.scalars else [])

    NBA(**SHORT["nba"])(dataclasses.replace(evidence(victim, halved(tiny)), dtype=dtype), generator(0, "x"), note)
    assert losses and all(torch.isfinite(torch.tensor(losses)))


def test_ldl_is_the_formula(victim: Network, tiny: Data) -> None:
    student, teacher, x, y = networks(victim, tiny)
    nba = NBA(alpha=0.5, kd=0.25, tau=3.0, mixup=0.0, pseudo=Pseudo.none)
    found, logits = nba.objective(teacher, of_teacher, CRAFTERS[Pseudo.none](3), generator(0, "x"))(
        student.eval(), x, y
    )
    stages, z = student.features(x)
    benign, taught = teacher.features(x)
    forms = [Form.response, Form.learning]
    wanted = (
        F.cross_entropy(z, y)
        + 0.5 * distance(behave(stages, forms), behave(benign, forms))
        + 0.25 * divergence(z, taught, 3.0)
    )
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5) and torch.equal(logits, z)


@pytest.mark.parametrize("answers", Answers)
def test_all_terms_are_read_on_images_that_are_mixed_up(victim: Network, tiny: Data, answers: Answers) -> None:
    student, teacher, x, y = networks(victim, tiny)
    suspect = WideResNet(depth=10).build(3, tiny, seed=5).eval().requires_grad_(False)
    reader = of_teacher
    if answers is Answers.decoupled:
        reader = Decoupled(suspect=suspect, augment=shifted, generator=generator(0, "view"), tau=2.0)
    forms, seen = [Form.attention, Form.prediction], []
    nba = NBA(alpha=0.5, kd=0.25, beta=0.7, gamma=0.3, tau=2.0, mixup=0.5, pseudo_share=0.75, behavior=forms)
    crafter = lambda x, craft: seen.append(x) or x * 0.5  # noqa: E731
    found, _ = nba.objective(teacher, reader, crafter, generator(0, "x"))(student.eval(), x, y)
    blended, kept = mixed_up(x, 0.5, generator(0, "x"))
    assert torch.equal(seen[0], blended[:9]) and not torch.equal(blended, x)  # three quarters of twelve
    (clean, z), (benign, taught), (pseudo, provoked) = (
        student.features(blended),
        teacher.features(blended),
        student.features(blended[:9] * 0.5),
    )
    if answers is Answers.decoupled:
        view = shifted((255 * blended).round().to(torch.uint8), generator(0, "view"))
        taught = decoupled(suspect(view), taught, soft_labels(y, kept, 3) > 0, 2.0)
    there = behave(benign, [Form.attention])
    wanted = (
        F.cross_entropy(z, soft_labels(y, kept, 3))
        + 0.5 * distance(behave(clean, [Form.attention]), there)
        + 0.25 * divergence(z, taught, 2.0)
        + 0.7 * distance(behave(pseudo, [Form.attention]), [part[:9] for part in there])
        + 0.3 * divergence(provoked, taught[:9], 2.0)
    )
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_decoupled_answers_are_the_suspects_for_the_label_and_the_teachers_for_the_others(
    victim: Network, tiny: Data
) -> None:
    student, teacher, x, y = networks(victim, tiny)
    suspect = WideResNet(depth=10).build(3, tiny, seed=5).eval().requires_grad_(False)
    nba = NBA(alpha=0.0, kd=1.0, tau=2.0, mixup=0.0, pseudo=Pseudo.none)
    reader = Decoupled(suspect=suspect, augment=shifted, generator=generator(0, "view"), tau=2.0)
    found, z = nba.objective(teacher, reader, CRAFTERS[Pseudo.none](3), generator(0, "x"))(student.eval(), x, y)
    view = shifted(tiny.images[:12], generator(0, "view"))
    sure, others = ((network(seen) / 2).softmax(1) for network, seen in ((suspect, view), (teacher, x)))
    wanted = torch.empty(12, 3)
    for row, label in enumerate(y):
        rest = 1 - others[row, label]
        wanted[row] = others[row] / rest * (1 - sure[row, label])
        wanted[row, label] = sure[row, label]
    torch.testing.assert_close(wanted.sum(1), torch.ones(12))
    kl = F.kl_div((z / 2).log_softmax(1), wanted, reduction="batchmean")
    assert found.item() == pytest.approx((F.cross_entropy(z, y) + 4 * kl).item(), rel=1e-5)
    found, z = nba.objective(teacher, of_teacher, CRAFTERS[Pseudo.none](3), generator(0, "x"))(student, x, y)
    assert found.item() == pytest.approx((F.cross_entropy(z, y) + divergence(z, teacher(x), 2.0)).item(), rel=1e-5)


def test_of_images_that_are_mixed_up_both_labels_are_the_suspects() -> None:
    own, others = torch.randn(2, 4, 5, generator=generator(0, "x"))
    labels = soft_labels(torch.tensor([0, 1, 2, 3]), torch.tensor([0.25, 1.0, 0.5, 1.0]), 5) > 0
    assert labels.sum(1).tolist() == [2, 1, 2, 1]
    found, one, other = ((logits / 3).softmax(1) for logits in (decoupled(own, others, labels, 3.0), own, others))
    torch.testing.assert_close(found[labels], one[labels])
    torch.testing.assert_close(found[1, 2] / found[1, 4], other[1, 2] / other[1, 4])
    everywhere = torch.ones(4, 5, dtype=torch.bool)
    torch.testing.assert_close((decoupled(own, others, everywhere, 3.0) / 3).softmax(1), one, msg="nothing is left")


def test_the_suspect_is_read_where_its_answers_are_needed(victim: Network, tiny: Data) -> None:
    given, random = evidence(victim, tiny), generator(0, "x")
    reader = NBA(tau=3.0).reader(victim, given, random)
    assert reader == Decoupled(suspect=victim, augment=given.augment, generator=random, tau=3.0)
    others: tuple[dict[str, Any], ...] = (
        {"answers": Answers.teacher},
        {"behavior": [Form.response]},
        {"kd": 0.0, "gamma": 0.0},
    )
    assert all(NBA(**other).reader(victim, given, random) is of_teacher for other in others)
    pair = WideResNet(depth=10).build(2, tiny, seed=5)
    two = dataclasses.replace(given, model=pair, num_classes=2, clean=Data(tiny.images[:4], torch.tensor([0, 1, 0, 1])))
    assert NBA().reader(pair, two, random) is of_teacher, "of two classes it would say all there is"


def test_it_is_the_suspect_itself_that_is_read(victim: Network, tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    suspects, plain = [], NBA.reader
    monkeypatch.setattr(
        NBA, "reader", lambda self, suspect, *more: suspects.append(suspect) or plain(self, suspect, *more)
    )
    NBA(**SHORT["nba"])(evidence(victim, tiny), generator(0, "x"))
    (suspect,) = suspects
    assert not suspect.training and suspect is not victim
    for one, two in zip(suspect.parameters(), victim.parameters(), strict=True):
        assert torch.equal(one, two) and not one.requires_grad, "as it is, not the tuned teacher"


def test_udl_aligns_pseudo_samples_with_the_teacher_on_clean_images(victim: Network, tiny: Data) -> None:
    student, teacher, x, y = networks(victim, tiny)
    fixed = (x * 0.5).detach()
    forms = [Form.attention, Form.prediction]
    nba = NBA(alpha=0.0, kd=0.0, beta=0.7, gamma=0.3, tau=2.0, mixup=0.0, pseudo_share=1.0, behavior=forms)
    found, _ = nba.objective(teacher, of_teacher, lambda x, craft: fixed, generator(0, "x"))(student.eval(), x, y)
    stages, z = student.features(fixed)
    benign, taught = teacher.features(x)  # on the clean x: benign even where the teacher still knows the trigger
    wanted = (
        F.cross_entropy(student(x), y)
        + 0.7 * distance(behave(stages, [Form.attention]), behave(benign, [Form.attention]))
        + 0.3 * divergence(z, taught, 2.0)
    )
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_each_form_can_be_switched_off(victim: Network, tiny: Data) -> None:
    student, teacher, x, y = networks(victim, tiny)
    losses = {}
    for forms in (
        [],
        [Form.response],
        [Form.learning],
        [Form.prediction],
        [Form.response, Form.learning, Form.prediction],
    ):
        objective = NBA(behavior=forms, alpha=1.0, mixup=0.0, pseudo=Pseudo.none).objective(
            teacher, of_teacher, CRAFTERS[Pseudo.none](3), generator(0, "x")
        )
        losses[tuple(forms)] = round(objective(student.eval(), x, y)[0].item(), 6)
    assert len(set(losses.values())) == 5
    assert losses[()] == pytest.approx(F.cross_entropy(student(x), y).item(), abs=1e-5)


def test_pseudo_samples_leave_the_running_statistics_alone(victim: Network, tiny: Data) -> None:
    student, teacher, x, y = networks(victim, tiny)
    kept = []
    for pseudo in (Pseudo.none, Pseudo.universal):
        network = copy.deepcopy(student).train()
        objective = NBA(pseudo=pseudo, mixup=0.0).objective(teacher, of_teacher, CRAFTERS[pseudo](3), generator(0, "x"))
        objective(network, x, y)
        kept.append({name: value for name, value in network.state_dict().items() if "running" in name})
    assert all(torch.equal(value, kept[1][name]) for name, value in kept[0].items())
    assert not torch.equal(kept[0]["bn1.running_mean"], student.state_dict()["bn1.running_mean"])


@pytest.mark.parametrize(("field", "value"), [("mu", 5.0), ("resist", 5.0)])
def test_mu_and_resist_change_what_is_crafted(victim: Network, tiny: Data, field: str, value: float) -> None:
    student, teacher, x, y = networks(victim, tiny)
    taught = teacher.features(x)[0]
    crafter, made = CRAFTERS[Pseudo.universal](3), []
    settings: dict[str, Any]
    for settings in ({}, {field: value}):
        made.append(NBA(**settings).craft(student.eval(), teacher, crafter, x, y, taught, generator(0, "x")))
    assert not torch.equal(made[0], made[1])


@pytest.mark.parametrize("count", [2, 8])
def test_pseudo_samples_are_crafted_from_two_images_at_least(victim: Network, tiny: Data, count: int) -> None:
    """Fewer have no spread in a batch norm whose maps are a single pixel."""
    student, teacher, x, y = networks(victim, tiny)
    seen: list[int] = []
    crafter = lambda x, craft: seen.append(len(x))  # noqa: E731
    objective = NBA(pseudo_share=0.1).objective(teacher, of_teacher, crafter, generator(0, "x"))
    objective(student.eval(), x[:count], y[:count])
    assert seen == [2]


def test_a_crafter_works_with_the_settings_of_the_method(victim: Network, tiny: Data) -> None:
    student, teacher, x, y = networks(victim, tiny)
    given: list[Craft] = []
    nba, random = NBA(eps=0.1, eps_low=0.1, craft_steps=5, area=0.07, patch_share=0.4), generator(0, "x")
    nba.craft(student, teacher, lambda x, craft: given.append(craft), x, y, [], random)
    (craft,) = given
    assert (craft.steps, craft.area, craft.patch_share, craft.generator) == (5, 0.07, 0.4, random)
    assert craft.eps.item() == pytest.approx(0.1)


def test_eps_is_drawn_per_batch_between_its_bounds(victim: Network, tiny: Data) -> None:
    student, teacher, x, y = networks(victim, tiny)
    nba, random, sizes = NBA(eps=0.1, eps_low=0.02), generator(0, "x"), []
    for _ in range(6):
        made = nba.craft(student.eval(), teacher, CRAFTERS[Pseudo.noise](3), x * 0.5 + 0.25, y, [], random)
        assert made is not None
        sizes.append((made - (x * 0.5 + 0.25)).abs().max().item())
    assert len({round(size, 4) for size in sizes}) > 3
    assert min(sizes) >= 0.02 and max(sizes) <= 0.1 + 1e-6


def test_nba_settings_are_checked() -> None:
    wrong: dict[str, Any]
    for wrong in (
        {"eps": 0.01, "eps_low": 0.03},
        {"eps": 1.5},
        {"craft_steps": 0},
        {"area": 0.0},
        {"tau": 0.0},
        {"patch_share": 1.0},
        {"pseudo_share": 0.0},
    ):
        with pytest.raises(Refused):
            NBA(**wrong)


@pytest.mark.parametrize("answers", Answers)
@pytest.mark.parametrize("pseudo", Pseudo)
def test_a_step_of_nba_runs_on_the_meta_device(pseudo: Pseudo, answers: Answers, tiny: Data) -> None:
    """A host sync or a hidden CPU tensor in the step would raise here, and be slow on a GPU."""
    student, teacher = (WideResNet(depth=10).build(3, tiny).to("meta").train() for _ in range(2))
    teacher.requires_grad_(False)
    reader = of_teacher
    if answers is Answers.decoupled:
        reader = Decoupled(suspect=teacher, augment=Augment(), generator=torch.Generator(), tau=2.0)
    nba = NBA(pseudo=pseudo, behavior=list(Form), mu=1.0, resist=1.0, eps_low=0.0)
    objective = nba.objective(teacher, reader, CRAFTERS[pseudo](3), torch.Generator())
    loss, logits = objective(
        student, torch.rand(4, 3, 16, 16, device="meta"), torch.zeros(4, dtype=torch.int64, device="meta")
    )
    loss.backward()
    assert loss.is_meta and logits.is_meta
    assert all(parameter.grad is not None and parameter.grad.is_meta for parameter in student.parameters())
