"""The teacher of NAD and ARGD: a fine-tuned copy of the suspect model."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from builders import SHORT, untrained_evidence

from nba_cli.data import Data
from nba_cli.defenses import DEFENSES
from nba_cli.seeds import generator
from nba_cli.victims import Network


@pytest.mark.parametrize("name", ["nad", "argd"])
def test_a_tuned_copy_of_the_suspect_teaches_and_the_student_starts_as_the_suspect(
    name: str, tiny: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[Network] = []
    method: Any = DEFENSES[name]
    plain = method.objective
    monkeypatch.setattr(
        method, "objective", lambda self, teacher, *more: taught.append(teacher) or plain(self, teacher, *more)
    )
    given, short = untrained_evidence(tiny), SHORT[name]
    still = dataclasses.replace(short["student"], steps=1, lr=1e-12)
    student = method(**short | {"student": still})(given, generator(0, "x"))
    (teacher,) = taught
    suspect = dict(given.model.named_parameters())
    assert not all(torch.equal(value, suspect[key]) for key, value in teacher.named_parameters())
    assert not teacher.training and not any(weight.requires_grad for weight in teacher.parameters())
    for key, value in student.named_parameters():
        torch.testing.assert_close(value, suspect[key], msg=key)
