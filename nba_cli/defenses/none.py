"""No defense: the baseline row."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from nba_cli.defenses.base import Defense, Evidence
from nba_cli.training import Progress, silent
from nba_cli.victims import Network


@dataclass(kw_only=True)
class NoDefense(Defense):
    """Returns the suspect model as it is."""

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        return copy.deepcopy(evidence.model).eval()
