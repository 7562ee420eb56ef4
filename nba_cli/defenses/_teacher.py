"""The teacher that the distilling defenses have in common."""

from __future__ import annotations

import copy

from nba_cli.defenses.base import Evidence, Training
from nba_cli.training import Plan, fit
from nba_cli.victims import Network


def fine_tuned(evidence: Evidence, plan: Plan, common: Training) -> Network:
    """The suspect network fine-tuned on the clean set by `plan`, then frozen in eval mode."""
    model = copy.deepcopy(evidence.model)
    teacher = fit(model, evidence.clean, plan, phase="teacher", compiling=evidence.compiling, **common)
    return teacher.eval().requires_grad_(False)
