"""FT-SAM: its perturbation and its gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from builders import untrained

from nba_cli.data import Data
from nba_cli.defenses import FTSAM
from nba_cli.defenses.ftsam import ascent


def test_ftsams_perturbation_has_norm_rho_and_follows_the_formula() -> None:
    weights = [torch.tensor([1.0, -2.0, 0.0]), torch.tensor([[4.0]])]
    gradients = [torch.tensor([1.0, 1.0, 5.0]), torch.tensor([[0.5]])]
    # T g = (1, 2, 0, 2), |T g| = 3; e = rho T^2 g / 3 = rho (1, 4, 0, 8) / 3
    found = ascent(weights, gradients, 0.3)
    assert found[0].tolist() == pytest.approx([0.1, 0.4, 0.0]) and found[1].item() == pytest.approx(0.8)
    scaled = torch.cat([(found[0] / weights[0].abs())[:2], (found[1] / weights[1].abs()).flatten()])
    assert scaled.norm().item() == pytest.approx(0.3)


def test_the_pass_at_the_perturbed_weights_leaves_the_running_statistics_alone(tiny: Data) -> None:
    x, y = tiny.images[:12].float() / 255, tiny.labels[:12]
    model, plain = untrained(tiny).train(), untrained(tiny).train()
    FTSAM().objective(model, x, y)
    plain(x)
    wanted = {name: value for name, value in plain.state_dict().items() if "running" in name}
    assert wanted and all(torch.equal(value, model.state_dict()[name]) for name, value in wanted.items())


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


def test_ftsam_climbs_a_sum_whose_gradient_does_not_vanish_in_fp16(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    model, climbed, grad = untrained(tiny).eval(), [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda loss, *more: climbed.append(loss) or grad(loss, *more))
    x, y = tiny.images[:12].float() / 255, tiny.labels[:12]
    FTSAM(smoothing=0.2).objective(model, x, y)
    assert climbed[0].item() == pytest.approx(12 * F.cross_entropy(model(x), y, label_smoothing=0.2).item(), rel=1e-5)
