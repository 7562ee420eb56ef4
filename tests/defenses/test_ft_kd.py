"""FT-KD: its loss, and mixup."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from builders import untrained

from nba_cli.data import Data, to_float
from nba_cli.defenses import FTKD
from nba_cli.defenses._mixup import mixed_up, soft_labels
from nba_cli.seeds import generator


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
