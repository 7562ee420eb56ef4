"""SAU: its terms and its attack, step by step."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from builders import untrained, untrained_evidence

from nba_cli.data import Data
from nba_cli.defenses import SAU
from nba_cli.defenses.sau import jensen_shannon, unlearning
from nba_cli.seeds import generator
from nba_cli.training import Optimizer, Plan


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
                (gradient,) = torch.autograd.grad(gain, delta)
                delta = (delta.detach() + 0.05 * gradient.sign()).clamp(-0.1, 0.1)
        same = (found[k] - delta[0]).abs() < 1e-6
        assert same.float().mean() > 0.99, "but for gradients that are nearly 0"


def test_saus_loss_is_that_of_clean_attacked_and_unlearned_images(tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    suspect, model = untrained(tiny, 0).eval(), untrained(tiny, 1).train()
    x, y = tiny.images[:60].float() / 255, tiny.labels[:60]
    delta = 0.5 * torch.randn(x.shape, generator=generator(0, "delta"))
    monkeypatch.setattr(SAU, "perturb", lambda *_: delta)
    loss, logits = SAU(clean=2.0, adversarial=3.0, unlearn=50.0).objective(suspect)(model, x, y)
    assert model.training, "as it was"
    model.eval()
    wrong, was = suspect(x + delta).argmax(1), suspect(x).argmax(1)
    wanted, fooled = 2 * F.cross_entropy(model(x), y) + 3 * F.cross_entropy(model(x + delta), y), 0
    for k, said in enumerate(model(x + delta).softmax(1)):
        if wrong[k] != y[k] and wrong[k] != was[k]:
            wanted, fooled = wanted - 50 * torch.log(1 - said[wrong[k]]) / 60, fooled + 1
    assert 0 < fooled < (wrong != y).sum(), "errors that are none of the attack's are among them"
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert torch.allclose(logits, model(x), atol=1e-6)


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


def test_saus_attack_climbs_a_sum_whose_gradient_does_not_vanish_in_fp16(
    tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    suspect, model = untrained(tiny, 0).eval(), untrained(tiny, 1).eval()
    climbed, grad = [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda gain, *more: climbed.append(gain) or grad(gain, *more))
    x, y = tiny.images[:8].float() / 255, tiny.labels[:8]
    SAU(eps=1e-6, steps=1).perturb(suspect, model, x, y)
    errors = [F.cross_entropy(network(x), y).item() for network in (suspect, model)]
    wanted = 0.01 * sum(errors) / 2 - jensen_shannon(suspect(x), model(x)).mean().item()
    assert climbed[0].item() == pytest.approx(8 * wanted, rel=1e-3)
