"""The forms of knowledge against formulas written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nba_cli.defenses._attention import attention
from nba_cli.defenses.nba.behavior import (
    FORMS,
    Form,
    behave,
    distance,
    divergence,
    feature,
    learning,
    response,
    similarity,
)
from nba_cli.victims.taps import tokens


def stages(seed: int = 0, device: str = "cpu") -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    shapes = [(5, 4, 8, 8), (5, 6, 4, 4), (5, 8, 2, 2)]
    return [torch.randn(shape, generator=random).to(device) for shape in shapes]


def test_response_is_the_gram_matrix() -> None:
    first = stages()[0]
    gram = torch.einsum("nchw,ndhw->ncd", first, first) / 64
    wanted = gram / gram.flatten(1).norm(dim=1)[:, None, None]
    assert torch.allclose(response(stages())[0], wanted.flatten(1), atol=1e-6)


def test_learning_is_the_cross_gram_of_adjacent_stages() -> None:
    first, second, _ = stages()
    pooled = first.reshape(5, 4, 4, 2, 4, 2).mean((3, 5))
    cross = torch.einsum("nchw,ndhw->ncd", pooled, second) / 16
    wanted = cross / cross.flatten(1).norm(dim=1)[:, None, None]
    found = learning(stages())
    assert len(found) == 2 and torch.allclose(found[0], wanted.flatten(1), atol=1e-6)


def test_attention_by_hand() -> None:
    stage = torch.tensor([[[[1.0, 0.0]], [[1.0, 2.0]]]])  # two channels on a 1x2 map: energies 1+1, 0+4
    assert torch.allclose(attention([stage])[0], torch.tensor([[2.0, 4.0]]) / 20**0.5)


def test_similarity_is_the_cosine_between_samples() -> None:
    flat = stages()[2].flatten(1)
    cosines = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], dim=2)
    assert torch.allclose(similarity(stages())[2], cosines / cosines.norm(dim=1, keepdim=True), atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_unit_norm_and_ignores_the_scale_of_a_stage(form: Form) -> None:
    found = behave(stages(), [form])
    for part in found:
        assert part.shape[0] == 5 and torch.allclose(part.norm(dim=1), torch.ones(5), atol=1e-5)
    scaled = behave([3.0 * stage for stage in stages()], [form])
    assert distance(found, scaled).item() == pytest.approx(0, abs=1e-5)
    assert distance(found, behave(stages(1), [form])).item() > 0.01


def test_distance_by_hand() -> None:
    one, other = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8], [0.0, -1.0]])
    assert distance([one], [other]).item() == pytest.approx(((1 - 0.6) + (1 + 1)) / 2)
    assert distance([one, one], [one, other]).item() == pytest.approx(0.6)


def test_behave_lists_all_chosen_forms_and_skips_prediction() -> None:
    assert len(behave(stages(), [Form.response, Form.learning, Form.prediction])) == 5
    assert behave(stages(), [Form.prediction]) == []


def test_divergence_is_hintons() -> None:
    student, teacher, tau = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[0.5, 0.0, 3.0]]), 2.0
    p, q = torch.softmax(teacher / tau, 1), torch.softmax(student / tau, 1)
    assert divergence(student, teacher, tau).item() == pytest.approx(4 * (p * (p / q).log()).sum().item(), rel=1e-5)
    assert divergence(teacher, teacher, tau).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_flows_on_the_meta_device_without_a_hidden_host_tensor(form: Form) -> None:
    moving = [stage.requires_grad_() for stage in stages(device="meta")]
    distance(behave(moving, [form]), behave(stages(device="meta"), [form])).backward()
    assert all(stage.grad is not None and stage.grad.is_meta for stage in moving)


def test_behavior_of_tokens_by_formula() -> None:
    """G = sum over patches t of f_t f_t^T / (h w), of the D features of each patch; the class token does not count."""
    random = torch.Generator().manual_seed(0)
    shallow, deep = (torch.randn(5, 1 + 2 * 3, size, generator=random) for size in (4, 6))
    stages = [tokens(out, (2, 3)) for out in (shallow, deep)]

    def unit(x: Tensor) -> Tensor:
        return (x / x.flatten(1).norm(dim=1)[:, None, None]).flatten(1)

    gram = torch.einsum("ntc,ntd->ncd", deep[:, 1:], deep[:, 1:]) / 6
    cross = torch.einsum("ntc,ntd->ncd", shallow[:, 1:], deep[:, 1:]) / 6
    energy = deep[:, 1:].square().sum(2)
    assert torch.allclose(response(stages)[1], unit(gram), atol=1e-6)
    assert torch.allclose(learning(stages)[0], unit(cross), atol=1e-6), "equal grids: nothing is pooled"
    assert torch.allclose(attention(stages)[1], energy / energy.norm(dim=1, keepdim=True), atol=1e-6)
    other = deep.clone()
    other[:, 0] += 1
    assert distance(behave([tokens(other, (2, 3))], [Form.response]), response(stages)[1:]).item() == pytest.approx(
        0, abs=1e-6
    )


def test_feature_is_the_stage_itself() -> None:
    first = stages()[0]
    assert torch.allclose(feature(stages())[0], first.flatten(1) / first.flatten(1).norm(dim=1, keepdim=True))
