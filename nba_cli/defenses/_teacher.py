"""The teacher that the distilling defenses have in common."""

from __future__ import annotations

import copy
from enum import Enum

from nba_cli.defenses.base import Evidence, Training
from nba_cli.training import Plan, fit
from nba_cli.victims import Network


class Source(Enum):
    """suspect: the suspect network as it is, read on clean images alone. tuned: fine-tuned on them."""

    suspect = "suspect"
    tuned = "tuned"


def frozen(model: Network) -> Network:
    """A copy of it in eval mode that does not learn."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def fine_tuned(evidence: Evidence, plan: Plan, common: Training) -> Network:
    """The suspect network fine-tuned on the clean set by `plan`, then frozen in eval mode."""
    model = copy.deepcopy(evidence.model)
    teacher = fit(
        model, evidence.clean, plan, phase="teacher", option="defense.teacher", compiling=evidence.compiling, **common
    )
    return teacher.requires_grad_(False)
