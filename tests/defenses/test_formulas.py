"""Each defense's formulas against values computed by hand or by an independent formula."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import SHORT, untrained, untrained_evidence
from torch import Tensor, nn
from torch.func import functional_call

from nba_cli.data import Augment, Data, hold_out, to_float
from nba_cli.defenses import ANP, ARGD, CLP, DEFENSES, FP, FT, FTKD, FTSAM, MCR, SAU, Evidence, _cutout, anp, fp
from nba_cli.defenses._attention import attention_distance
from nba_cli.defenses._batch_norm import refresh_statistics
from nba_cli.defenses._cutout import blacked_out
from nba_cli.defenses._mixup import mixed_up, soft_labels
from nba_cli.defenses.anp import Masked
from nba_cli.defenses.argd import Embedding
from nba_cli.defenses.clp import lipschitz, readers
from nba_cli.defenses.fp import classifier
from nba_cli.defenses.ftsam import ascent
from nba_cli.defenses.mcr import Curve
from nba_cli.defenses.sau import jensen_shannon, unlearning
from nba_cli.seeds import generator
from nba_cli.training import Optimizer, Plan, silent
from nba_cli.victims import Network, ResNet, Victim, WideResNet


def test_nads_distance_by_hand() -> None:
    # one sample, one stage of two channels on a 1x2 map: energies (5, 0) and (9, 16), made unit: (1, 0), (9, 16) / 18.4
    student = torch.tensor([[[[1.0, 0.0]], [[2.0, 0.0]]]])
    teacher = torch.tensor([[[[3.0, 0.0]], [[0.0, 4.0]]]])
    norm = math.sqrt(81 + 256)
    wanted = (1 - 9 / norm) ** 2 + (16 / norm) ** 2
    shallow = torch.ones(1, 3, 4, 4)
    found = attention_distance([shallow, 2 * shallow, student], [shallow, shallow, teacher], [1.0, 7.0])
    assert found.item() == pytest.approx(7 * wanted, rel=1e-5), "a scale vanishes; stages without a weight do not count"


def test_argds_graph_by_hand() -> None:
    deep = torch.zeros(2, 1, 2, 2)  # energy in the first of four positions; of the second image in the last
    deep[0, 0, 0, 0], deep[1, 0, 1, 1] = 1.0, 1.0
    shallow = torch.zeros(2, 1, 4, 4)
    shallow[:, 0, 2:, 2:] = 2.0  # in the last quarter: unit norm puts 1/2 on each of 4 pixels, and so does pooling
    nodes, edges = ARGD(weights=[1.0, 1.0]).graph([shallow, deep])
    assert nodes[0].shape == (2, 16) and nodes[0].norm(dim=1).tolist() == pytest.approx([1, 1])
    # squared distances: 1 + 1/4 and (1 - 1/2)^2; the largest one is 1
    assert edges[:, 0].tolist() == pytest.approx([1, 0.2])
    middle = torch.ones(2, 5, 4, 4)
    _, three = ARGD().graph([shallow, middle, deep])
    assert three.shape == (2, 3) and three.amax(0).tolist() == [1, 1, 1], "each pair has a maximum of its own"


def test_argds_embedding_by_hand_and_it_learns() -> None:
    embedding = Embedding([2, 2], 1)
    for layer, row in zip(embedding.maps, ([1.0, 0.0], [0.0, 2.0]), strict=True):
        assert isinstance(layer, nn.Linear)
        layer.weight.data, layer.bias.data = torch.tensor([row]), torch.zeros(1)
    nodes = [torch.tensor([[3.0, 9.0]]), torch.tensor([[9.0, 2.0]])]
    # mapped 3 and 4; with the neighbour's half 3 + 2 = 5 and 4 + 1.5 = 5.5
    found = embedding(nodes, torch.tensor([[0.5]]))[0].tolist()
    assert found == pytest.approx([5 / math.hypot(5, 5.5), 5.5 / math.hypot(5, 5.5)])


def test_argd_trains_its_embedding(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Embedding, dict[str, Tensor]]] = []
    true = ARGD.embedding

    def remember(self: ARGD, *args: Any) -> Embedding:
        embedding = true(self, *args)
        made.append((embedding, {name: value.clone() for name, value in embedding.state_dict().items()}))
        return embedding

    monkeypatch.setattr(ARGD, "embedding", remember)
    brief = Plan(steps=3, lr=0.05)
    ARGD(teacher=brief, student=brief)(untrained_evidence(tiny), generator(0, "defense"))
    ((embedding, before),) = made
    assert any(not torch.equal(value, before[name]) for name, value in embedding.state_dict().items())


def test_anps_inner_step_climbs_by_the_sign_of_the_slope(tiny: Data) -> None:
    masked = Masked(untrained(tiny).train().requires_grad_(False))
    for norm in masked.norms.values():
        norm.bias.fill_(0.1)  # a relative noise moves no bias of 0
    x, y = tiny.images[:12].float() / 255, tiny.labels[:12]
    found = ANP(eps=0.1).worst(masked, x, y, torch.Generator().manual_seed(3))
    again = torch.Generator().manual_seed(3)  # the start, drawn once more
    start = tuple(
        {name: 0.1 * (2 * torch.rand(norm.weight.shape, generator=again) - 1) for name, norm in masked.norms.items()}
        for _ in range(2)
    )
    scale, shift = ({name: value - start[part][name] for name, value in found[part].items()} for part in (0, 1))
    assert all(((value.abs() - 0.1).abs() < 1e-6).logical_or(value == 0).all() for value in scale.values())
    loss = lambda noise: F.cross_entropy(masked(x, noise), y).item()  # noqa: E731
    assert loss(found) > loss(start)
    name = "block2.layer.0.bn2"
    for part in (0, 1):  # a finite difference in one coordinate of each kind
        slopes = []
        for size in (1e-2, -1e-2):
            moved = tuple({key: value.clone() for key, value in one.items()} for one in start)
            moved[part][name][3] += size
            slopes.append(loss(moved))
        assert math.copysign(1, slopes[0] - slopes[1]) == (scale, shift)[part][name][3].sign().item()


def test_anp_reads_masks_and_noise_where_the_paper_puts_them(tiny: Data) -> None:
    plain = untrained(tiny).train().requires_grad_(False)
    masked = Masked(plain)
    x, name = tiny.images[:6].float() / 255, "block1.layer.0.bn1"
    norm = plain.get_submodule(name)
    assert isinstance(norm, nn.BatchNorm2d)
    norm.bias.fill_(0.5)
    with torch.no_grad():
        masked.mask[masked.flat[name]][0] = 0.25
    noise = tuple({key: torch.zeros_like(n.weight) for key, n in masked.norms.items()} for _ in range(2))
    noise[0][name][1], noise[1][name][2] = 0.3, -0.4
    found = masked(x, noise)
    weight, bias = norm.weight.clone(), norm.bias.clone()
    weight[0], weight[1], bias[2] = 0.25 * weight[0], 1.3 * weight[1], 0.6 * bias[2]
    wanted = functional_call(plain, {f"{name}.weight": weight, f"{name}.bias": bias}, (x,))
    assert torch.allclose(found, wanted, atol=1e-6)


def test_anp_prunes_by_number_as_far_as_the_hold_out_permits(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    given = untrained_evidence(tiny)
    masks = {name: torch.ones_like(norm.weight) for name, norm in Masked(untrained(tiny)).norms.items()}
    masks["bn1"][:5] = torch.tensor([0.12, 0.02, 0.42, 0.9, 0.95])
    costs = {0: 0.9, 1: 0.9, 2: 0.86, 3: 0.885, 4: 0.83, 5: 0.9}  # hold-out accuracy by the number of pruned weights

    def accuracy(model: Network, *_: Any) -> float:
        return costs[int((model.get_parameter("bn1.weight") == 0).sum())]

    monkeypatch.setattr(anp, "accuracy", accuracy)
    suspect = given.model.get_parameter("bn1.weight")
    for drop, wanted in ((0.02, [0, 1, 2]), (0.0, [1])):
        pruned = ANP(drop=drop).prune(given, masks, given.clean, silent).get_parameter("bn1.weight")
        assert (pruned == 0).nonzero().flatten().tolist() == wanted, "smallest mask first; a fall that passes is passed"
        assert torch.equal(pruned[3:], suspect[3:]), "and the search ends at three times the drop"


def test_mcrs_curve_by_hand(tiny: Data) -> None:
    start, end = untrained(tiny, 0), untrained(tiny, 1)
    curve = Curve(untrained(tiny, 2), start, end)
    name = "fc.weight"
    w1, w3 = start.fc.weight, end.fc.weight  # type: ignore[union-attr]
    bend = curve.bend[curve.names[name]]
    assert torch.allclose(bend, (w1 + w3) / 2)  # type: ignore[operator]
    with torch.no_grad():
        bend.add_(1.0)
    assert torch.equal(curve.at(0.0)[name], w1) and torch.equal(curve.at(1.0)[name], w3)  # type: ignore[arg-type]
    assert torch.allclose(curve.at(0.5)[name], 0.25 * w1 + 0.5 * bend + 0.25 * w3)  # type: ignore[operator]
    curve.at(0.1)[name].sum().backward()
    assert bend.grad is not None and torch.allclose(bend.grad, torch.full_like(bend, 2 * 0.1 * 0.9))


@pytest.mark.parametrize("victim", [WideResNet(depth=10), ResNet(depth=18)], ids=["wrn", "tapped"])
def test_mcrs_ends_are_the_suspect_and_its_fine_tuned_copy(tiny: Data, victim: Victim) -> None:
    model, brief = victim.build(3, tiny), Plan(steps=2, batch=8, lr=0.01)
    given = Evidence(model=model, clean=tiny[torch.arange(30)], num_classes=3, augment=Augment(1, True))
    first, last = (MCR(t=t, tune=brief, train=brief)(given, generator(0, "defense")) for t in (0.0, 1.0))
    tuned = FT(train=brief)(given, generator(0, "defense"))
    for end, wanted in ((first, model), (last, tuned)):
        for name, value in wanted.named_parameters():
            assert torch.allclose(end.get_parameter(name), value, atol=1e-6)


def test_mcr_takes_the_middle_with_fresh_statistics_of_augmented_images(
    tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, brief, seen = WideResNet(depth=10).build(3, tiny), Plan(steps=2, batch=8, lr=0.01), []
    shade = lambda images, generator: 0.5 * to_float(images)  # noqa: E731
    given = Evidence(model=model, clean=tiny[torch.arange(30)], num_classes=3, augment=shade)
    point = Curve.point

    def noted(self: Curve, t: float, *rest: Any) -> Network:
        seen.append(t)
        return point(self, t, *rest)

    monkeypatch.setattr(Curve, "point", noted)
    found = MCR(tune=brief, train=brief)(given, generator(0, "defense"))
    assert seen == [0.5]
    fresh = copy.deepcopy(found)
    refresh_statistics(fresh, given.clean, lambda images: 0.5 * to_float(images), torch.float32)
    for name, value in found.named_buffers():
        assert torch.equal(fresh.get_buffer(name), value), "all clean images, as the training saw them"


def test_cutout_blacks_out_one_square_in_every_image() -> None:
    images = torch.ones(200, 3, 8, 10)
    dark = blacked_out(images, 3, torch.Generator().manual_seed(0)) == 0
    assert torch.equal(dark[:, 0], dark[:, 2]), "in all channels"
    sizes = dark[:, 0].flatten(1).sum(1)
    assert sizes.max() == 9 and sizes.min() == 4, "3x3, cut off at a border, 2x2 in a corner"
    for hole in dark[:20, 0]:
        rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all() and hole.sum() == len(rows) * len(
            columns
        )
    assert dark[:, 0].any(0).all(), "everywhere in the image"
    assert blacked_out(images, 0, torch.Generator()) is images


@pytest.mark.parametrize("name", ["nad", "argd"])
def test_teacher_and_student_train_on_images_with_a_hole(
    name: str, tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(images: Tensor, side: int, random: torch.Generator) -> Tensor:
        seen.append(side)
        return blacked_out(images, side, random)

    monkeypatch.setattr(_cutout, "blacked_out", noted)
    defense: Any = DEFENSES[name]
    defense(**SHORT[name], cutout=5)(untrained_evidence(tiny), generator(0, "defense"))
    assert seen == [5] * 6, "three batches each"


def test_ft_kd_adds_the_suspects_answers_on_clean_images(tiny: Data) -> None:
    model, teacher = untrained(tiny, 1), untrained(tiny, 2).eval()
    x, y = to_float(tiny.images[:12]), tiny.labels[:12]
    loss, logits = FTKD(kd=0.5, tau=3.0, mixup=0.0).objective(teacher, generator(0, "x"))(model.eval(), x, y)
    soft, answers = F.log_softmax(model(x) / 3, 1), F.softmax(teacher(x) / 3, 1)
    wanted = F.cross_entropy(model(x), y) + 0.5 * 9 * (answers * (answers.log() - soft)).sum(1).mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5) and torch.equal(logits, model(x))
    loss.backward()
    assert all(weight.grad is None for weight in teacher.parameters())


def test_mixup_blends_images_and_labels_alike() -> None:
    x, y = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2), torch.tensor([0, 1, 2, 1])
    x = x.repeat(50, 1, 1, 1)
    mixed, kept = mixed_up(x, 0.5, generator(0, "x"))
    assert kept is not None
    assert torch.allclose(mixed[:, 0, 0, 0], kept * x[:, 0, 0, 0] + (1 - kept) * x.flip(0)[:, 0, 0, 0])
    assert 70 < (kept == 1).sum() < 130 and 0.3 < kept[kept < 1].mean() < 0.7
    soft = soft_labels(y, torch.tensor([1.0, 0.25, 0.5, 0.0]), 3)
    assert soft.tolist() == [[1, 0, 0], [0, 0.25, 0.75], [0, 0.5, 0.5], [1, 0, 0]]
    drawn = generator(0, "x")
    assert mixed_up(x, 0.0, drawn) == (x, None) and torch.equal(soft_labels(y, None, 3), F.one_hot(y, 3).float())
    assert torch.equal(drawn.get_state(), generator(0, "x").get_state()), "nothing is drawn for nothing"


def test_ftsams_perturbation_has_norm_rho_and_follows_the_formula() -> None:
    weights = [torch.tensor([1.0, -2.0, 0.0]), torch.tensor([[4.0]])]
    slopes = [torch.tensor([1.0, 1.0, 5.0]), torch.tensor([[0.5]])]
    # T g = (1, 2, 0, 2), |T g| = 3; e = rho T^2 g / 3 = rho (1, 4, 0, 8) / 3
    found = ascent(weights, slopes, 0.3)
    assert found[0].tolist() == pytest.approx([0.1, 0.4, 0.0]) and found[1].item() == pytest.approx(0.8)
    scaled = torch.cat([(found[0] / weights[0].abs())[:2], (found[1] / weights[1].abs()).flatten()])
    assert scaled.norm().item() == pytest.approx(0.3)


def test_ftsams_gradient_is_that_at_the_perturbed_weights(tiny: Data) -> None:
    model = untrained(tiny).eval()
    x, y = tiny.images[:12].float() / 255, tiny.labels[:12]
    FTSAM(rho=0.5, smoothing=0.2).objective(model, x, y)[0].backward()
    found = [parameter.grad for parameter in model.parameters()]
    plain = untrained(tiny).eval()
    weights = list(plain.parameters())
    wanted_labels = 0.8 * F.one_hot(y, 3) + 0.2 / 3

    def smooth() -> torch.Tensor:
        return -(wanted_labels * F.log_softmax(plain(x), dim=1)).sum(1).mean()

    steps = ascent(weights, list(torch.autograd.grad(smooth(), weights)), 0.5)
    with torch.no_grad():
        for weight, step in zip(weights, steps, strict=True):
            weight.add_(step)
    wanted = torch.autograd.grad(smooth(), weights)
    assert all(one is not None and torch.allclose(one, two, atol=1e-4) for one, two in zip(found, wanted, strict=True))


def test_clps_bound_against_numpy(tiny: Data) -> None:
    conv, norm = nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4)
    assert norm.running_var is not None
    norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(0))
    norm.weight.data.uniform_(-2, 2, generator=torch.Generator().manual_seed(1))
    found = lipschitz(conv, norm).tolist()
    for k in range(4):
        sigma = np.linalg.svd(conv.weight[k].detach().numpy().reshape(5, 9), compute_uv=False)[0]
        wanted = sigma * abs(norm.weight[k].item()) / math.sqrt(norm.running_var[k].item() + norm.eps)
        assert found[k] == pytest.approx(wanted, rel=1e-4)


def test_clp_zeroes_the_channel_that_stands_out_and_no_other(tiny: Data) -> None:
    given = untrained_evidence(tiny)
    norm = given.model.get_submodule("block2.layer.0.bn2")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.weight.data[7] *= 50
    cured = CLP(u=3)(given, torch.Generator())
    changed = {name: (value != given.model.get_parameter(name)).flatten().nonzero().flatten().tolist()
               for name, value in cured.named_parameters()}  # fmt: skip
    assert changed.pop("block2.layer.0.bn2.weight") == [7]
    assert cured.get_parameter("block2.layer.0.bn2.weight")[7] == 0
    assert all(not places for name, places in changed.items() if "block2.layer.0" in name)


def test_clp_pairs_a_batch_norm_with_the_convolution_that_it_reads(tiny: Data) -> None:
    model = untrained(tiny)
    names = {module: name for name, module in model.named_modules()}
    pairs = {names[norm]: names[conv] for conv, norm in readers(model, tiny.images[:1].float() / 255)}
    assert pairs["block2.layer.0.bn2"] == "block2.layer.0.conv1"
    assert pairs["block1.layer.0.bn1"] == "conv1", "the stem"
    assert pairs["block2.layer.0.bn1"] == "block1.layer.0.conv2", "the convolution that was added last to the sum"
    assert pairs["bn1"] == "block3.layer.0.conv2"
    assert len(pairs) == sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()), "none is left out"


def test_saus_terms_by_hand() -> None:
    one, two = torch.log(torch.tensor([[0.9, 0.1]])), torch.log(torch.tensor([[0.5, 0.5]]))
    middle = (0.7, 0.3)
    kl = lambda p: sum(a * math.log(a / m) for a, m in zip(p, middle, strict=True))  # noqa: E731
    assert jensen_shannon(one, two).item() == pytest.approx((kl((0.9, 0.1)) + kl((0.5, 0.5))) / 2, rel=1e-5)
    assert jensen_shannon(one, one).item() == pytest.approx(0, abs=1e-6)
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]))
    sure = torch.tensor([[0.0, 20.0, 0.0]], requires_grad=True)
    unlearning(sure, torch.tensor([1]), torch.tensor([True])).backward()
    assert sure.grad is not None and sure.grad[0, 1].item() == pytest.approx(1, abs=1e-3), "no plateau where it is sure"
    found = unlearning(logits, torch.tensor([1, 0]), torch.tensor([True, False]))
    assert found.item() == pytest.approx(-math.log(0.8) / 2, rel=1e-5), "the second sample is not fooled: it counts 0"


def test_saus_attack_follows_the_authors_step_by_step(tiny: Data) -> None:
    """Written out from the paper's algorithm, sample by sample: start at the maximum, weights 0.01 and 1."""
    suspect, model = untrained(tiny, 0).eval(), untrained(tiny, 1).eval()
    x, y = tiny.images[:8].float() / 255, tiny.labels[:8]
    sau = SAU(eps=0.1, step=0.05, steps=3)
    found = sau.perturb(suspect, model, x, y)
    for k in range(len(x)):
        image, label = x[k : k + 1], y[k : k + 1]
        before = [network(image).argmax(1) for network in (suspect, model)]
        delta = torch.full_like(image, 0.1)
        for _ in range(3):
            delta = delta.detach().requires_grad_()
            said = [network(image + delta) for network in (suspect, model)]
            fooled = [bool(logits.argmax(1) != was) for logits, was in zip(said, before, strict=True)]
            gain = torch.zeros(())
            for logits, done in zip(said, fooled, strict=True):
                gain = gain if done else gain + 0.01 * F.cross_entropy(logits, label) / 2
            if not (all(fooled) and said[0].argmax() == said[1].argmax()):
                p, q = (logits.softmax(1) for logits in said)
                middle = (p + q) / 2
                gain = gain - ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
            if gain.requires_grad:
                (slope,) = torch.autograd.grad(gain, delta)
                delta = (delta.detach() + 0.05 * slope.sign()).clamp(-0.1, 0.1)
        same = (found[k] - delta[0]).abs() < 1e-6
        assert same.float().mean() > 0.99, "but for slopes that are nearly 0"


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_sau_normalises_what_trains_by_the_batch_if_asked(tiny: Data, batch_statistics: bool) -> None:
    """Clean and attacked images in one batch; the attack itself and the suspect keep to running statistics."""
    given = untrained_evidence(tiny)
    before = {name: value.clone() for name, value in given.model.named_buffers()}
    sau = SAU(
        train=Plan(steps=2, batch=8, lr=1e-4, optimizer=Optimizer.adam), steps=1, batch_statistics=batch_statistics
    )
    found = dict(sau(given, generator(0, "defense")).named_buffers())
    assert int(found["bn1.num_batches_tracked"]) == 2 * batch_statistics
    assert torch.equal(found["bn1.running_mean"], before["bn1.running_mean"]) is not batch_statistics
    assert all(torch.equal(value, before[name]) for name, value in given.model.named_buffers())


def test_fp_ranks_channels_as_the_classifier_reads_them(tiny: Data) -> None:
    model = untrained(tiny).eval()
    head, activity = classifier(model, tiny, torch.float32)
    stages, _ = model.features(tiny.images.float() / 255)
    norm = model.get_submodule("bn1")
    wanted = F.relu(norm(stages[-1])).mean((0, 2, 3))
    assert head is model.fc and torch.allclose(activity, wanted, atol=1e-4)


def test_fp_prunes_the_least_active_and_undoes_the_step_too_far(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    given = untrained_evidence(tiny)
    _, held = hold_out(given.clean, 0.2, generator(0, "defense"))
    clean, _ = hold_out(given.clean, 0.2, generator(0, "defense"))
    _, activity = classifier(given.model, clean, torch.float32)
    order = activity.argsort().tolist()

    def accuracy(model: Network, data: Data, *_: Any) -> float:
        assert data.digest() == held.digest(), "the hold-out decides"
        pruned = int((model.fc.weight == 0).all(0).sum())  # type: ignore[union-attr]
        return 0.9 if pruned <= 18 else 0.79

    monkeypatch.setattr(fp, "accuracy", accuracy)
    cured = FP(step=0.1, train=Plan(steps=3, lr=0.05))(given, generator(0, "defense"))
    zero = (cured.fc.weight == 0).all(0).nonzero().flatten().tolist()  # type: ignore[union-attr]
    assert set(zero) == set(order[:18]), "three steps of 6 of 64 channels, still zero after fine-tuning"
    assert not torch.equal(cured.fc.bias, given.model.fc.bias), "fine-tuned"  # type: ignore[arg-type]
