"""Perturbations that a network errs under: what some attackers and some defenses craft."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def ascend(score: Callable[[Tensor], Tensor], start: Tensor, eps: Tensor, steps: int) -> Tensor:
    """argmax over |delta|_inf <= eps of score(delta), by `steps` sign steps of 2 eps / steps from `start`.

    Gradient ascent on the sign, as in Madry et al. 2018 (arXiv:1706.06083). `score` returns a scalar. The shape of
    `start` says what is looked for: [1,C,H,W] is one perturbation for all images that it is added to, [N,C,H,W] one for
    each. `eps` is a scalar of 0 or more on the device of `start`; with no `steps`, `start` comes back, clamped.
    """
    delta = start.clamp(-eps, eps)
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        (grad,) = torch.autograd.grad(score(delta), delta)
        delta = (delta.detach() + 2 * eps / steps * grad.sign()).clamp(-eps, eps)
    return delta
