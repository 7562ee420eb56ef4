"""No defense waits for the device inside a step: on a GPU that would cost more than the step itself.

The meta device has no numbers, so that reading one raises, and so do most hidden CPU tensors. It lets pass what a GPU
would wait for without reading: a tensor made of a list and then copied, an index that lies on the CPU. Where there is a
GPU, PyTorch itself says whether anything waits.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from builders import SHORT, untrained_evidence
from torch import nn

from nba_cli.data import Data
from nba_cli.defenses import DEFENSES, IBAU, Evidence
from nba_cli.training import cross_entropy
from nba_cli.training.descent import Descent

PLAIN = ("none", "clp", "fp")  # they train nothing, or with the plain objective once they have pruned by value
Fit = Callable[..., nn.Module]


def phases(name: str, evidence: Evidence, monkeypatch: pytest.MonkeyPatch, step: Fit, device: str = "cpu") -> list[str]:
    """The phases of a defense that trains by `step` instead of `training.fit`, until something else fails."""
    seen = []

    def instead(model: nn.Module, *given: Any, phase: str, **more: Any) -> nn.Module:
        done = step(model, *given, **more)
        seen.append(phase)
        return done

    defense = DEFENSES[name](**SHORT[name])
    for module in [module for path, module in sys.modules.items() if path.startswith("nba_cli.defenses.")]:
        if hasattr(module, "fit"):
            monkeypatch.setattr(module, "fit", instead)
    try:
        defense(evidence, torch.Generator(device).manual_seed(0))
    except (RuntimeError, NotImplementedError):  # what is chosen between and after trainings reads numbers
        if not next(evidence.model.parameters()).is_meta:
            raise
    return seen


def untouched(model: nn.Module, *given: Any, **more: Any) -> nn.Module:
    return model


def step_on_meta(model: nn.Module, data: Data, plan: Any, objective: Any = cross_entropy, **more: Any) -> nn.Module:
    """One step on a device without numbers."""
    x, y = torch.rand(4, 3, 16, 16, device="meta"), torch.zeros(4, dtype=torch.int64, device="meta")
    try:
        loss, logits = objective(model.train(), x, y)
        loss.backward()
    except (RuntimeError, NotImplementedError) as error:
        raise AssertionError(f"a step of {model} is not a step on the device alone") from error
    assert loss.is_meta and logits.is_meta
    return model


def steps_on_cuda(model: nn.Module, data: Data, plan: Any, objective: Any = cross_entropy, **more: Any) -> nn.Module:
    """Three steps, optimizers and all; the first, in which kernels are chosen and memory is found, may wait."""
    x, y = torch.rand(4, 3, 16, 16, device="cuda"), torch.zeros(4, dtype=torch.int64, device="cuda")
    descent = Descent(model.train(), plan, torch.float32, more.get("partner"))
    for number in range(3):
        torch.cuda.set_sync_debug_mode("error" if number else "default")
        try:
            descent.step(objective(model, x, y)[0], 1.0)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return model


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", sorted(DEFENSES.keys() - PLAIN))
def test_the_steps_of_a_defense_do_not_wait_for_a_gpu(name: str, tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = untrained_evidence(tiny)
    wanted = phases(name, evidence, monkeypatch, untouched)
    evidence.model.to("cuda")
    evidence.clean = evidence.clean.to(torch.device("cuda"))
    assert wanted and phases(name, evidence, monkeypatch, steps_on_cuda, "cuda") == wanted


@pytest.mark.parametrize("name", sorted(DEFENSES.keys() - PLAIN))
def test_the_steps_of_a_defense_run_on_the_meta_device(name: str, tiny: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = untrained_evidence(tiny)
    wanted = phases(name, evidence, monkeypatch, untouched)
    evidence.model.to("meta")
    # ibau searches before an epoch, over real images: its steps are given what that found
    found = itertools.repeat(torch.zeros(1, 3, 16, 16, device="meta"))
    monkeypatch.setattr(IBAU, "found_on", lambda *_: found)
    assert wanted and phases(name, evidence, monkeypatch, step_on_meta) == wanted
