"""Sign ascent, by hand."""

from __future__ import annotations

import torch

from nba_cli.training import ascend

EPS = torch.tensor(0.3)


def test_it_goes_in_steps_of_two_thirds_of_eps_and_stays_within_it() -> None:
    seen = []

    def score(delta: torch.Tensor) -> torch.Tensor:
        seen.append(delta.detach().flatten().tolist())
        return (delta * torch.tensor([1.0, -2.0])).sum()

    found = ascend(score, torch.zeros(1, 2), EPS, 3)
    assert torch.allclose(torch.tensor(seen), torch.tensor([[0, 0], [0.2, -0.2], [0.3, -0.3]]))
    assert torch.allclose(found, torch.tensor([[0.3, -0.3]])) and not found.requires_grad


def test_it_begins_within_eps() -> None:
    assert torch.allclose(ascend(torch.sum, torch.tensor([0.5, -0.5]), EPS, 0), torch.tensor([0.3, -0.3]))
