"""ANP: its masks and noise, its inner step and its pruning."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from builders import untrained, untrained_evidence
from torch import nn
from torch.func import functional_call

from nba_cli.data import Data, hold_out
from nba_cli.defenses import ANP, anp
from nba_cli.defenses.anp import Masked
from nba_cli.defenses.base import Evidence
from nba_cli.seeds import generator
from nba_cli.training import silent
from nba_cli.victims import Network


def test_anps_inner_step_climbs_by_the_sign_of_the_gradient(tiny: Data) -> None:
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
        gradients = []
        for size in (1e-2, -1e-2):
            moved = tuple({key: value.clone() for key, value in one.items()} for one in start)
            moved[part][name][3] += size
            gradients.append(loss(moved))
        assert math.copysign(1, gradients[0] - gradients[1]) == (scale, shift)[part][name][3].sign().item()


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


def test_anps_loss_weighs_the_unperturbed_one_by_its_balance(tiny: Data) -> None:
    masked, given = Masked(untrained(tiny).train().requires_grad_(False)), ANP(balance=0.3, eps=0.5)
    x, y = tiny.images[:12].float() / 255, tiny.labels[:12]
    for norm in masked.norms.values():
        norm.bias.fill_(0.1)
    masked.mask[masked.flat["bn1"]].data[:2] = torch.tensor([1.5, -0.5])
    loss, logits = given.objective(torch.Generator().manual_seed(3), masked, x, y)
    assert masked.mask[masked.flat["bn1"]][:2].tolist() == [1, 0], "masks are brought back into [0,1]"
    noise = given.worst(masked, x, y, torch.Generator().manual_seed(3))
    plain, perturbed = F.cross_entropy(masked(x), y), F.cross_entropy(masked(x, noise), y)
    assert perturbed > plain + 0.01 and torch.equal(logits, masked(x))
    assert loss.item() == pytest.approx((0.3 * plain + 0.7 * perturbed).item(), rel=1e-5)


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


def test_anp_prunes_all_masks_up_to_a_threshold_and_holds_nothing_out(
    tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, seen, told = untrained_evidence(tiny), [], []
    masks = {name: torch.ones_like(norm.weight) for name, norm in Masked(untrained(tiny)).norms.items()}
    masks["bn1"][:3] = torch.tensor([0.25, 0.0, 0.2501])

    def trained(self: ANP, evidence: Evidence, clean: Data, *_: Any) -> anp.Values:
        seen.append(clean)
        return masks

    monkeypatch.setattr(ANP, "masks", trained)
    monkeypatch.setattr(anp, "accuracy", lambda *_: pytest.fail("nothing is measured"))
    pruned = ANP(threshold=0.25)(given, torch.Generator(), told.append)
    zeros = [int((pruned.get_parameter(f"{name}.weight") == 0).sum()) for name in masks]
    assert sum(zeros) == 2 and (pruned.get_parameter("bn1.weight")[:2] == 0).all(), "a mask at the threshold goes too"
    assert told[-1].scalars == {"pruned": 2, "channels": sum(len(mask) for mask in masks.values())}
    assert seen == [given.clean] and not (given.model.get_parameter("bn1.weight") == 0).any()
    assert ANP(threshold=0.25).backward_images(100) == pytest.approx(ANP(held=0.2).backward_images(100) / 0.8)


def test_anp_trains_its_masks_on_the_rest_and_judges_them_on_the_hold_out(
    tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, trained, judged = untrained_evidence(tiny), [], []

    def masks(self: ANP, evidence: Evidence, clean: Data, *_: Any) -> anp.Values:
        trained.append(clean.digest())
        return {name: torch.ones_like(norm.weight) for name, norm in Masked(given.model).norms.items()}

    monkeypatch.setattr(ANP, "masks", masks)
    monkeypatch.setattr(anp, "accuracy", lambda model, data, *_: judged.append(data.digest()) or 1.0 / len(judged))
    ANP(held=0.3)(given, generator(0, "defense"))
    rest, held = hold_out(given.clean, 0.3, generator(0, "defense"))
    assert trained == [rest.digest()] and set(judged) == {held.digest()}


def test_anps_inner_step_climbs_a_sum_whose_gradient_does_not_vanish_in_fp16(
    tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked, climbed, grad = Masked(untrained(tiny).eval().requires_grad_(False)), [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda loss, *more: climbed.append(loss) or grad(loss, *more))
    x, y = tiny.images[:12].float() / 255, tiny.labels[:12]
    ANP(eps=1e-6).worst(masked, x, y, torch.Generator())
    assert climbed[0].item() == pytest.approx(12 * F.cross_entropy(masked(x), y).item(), rel=1e-4)
