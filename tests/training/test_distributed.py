"""Training and predicting on two ranks: as on one, up to rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import untrained
from torch import nn
from two_ranks import alone, environment, free_port, line

from nba_cli.data import Data
from nba_cli.ranks import ALONE, Ranks
from nba_cli.training import Plan
from nba_cli.training.descent import Descent
from nba_cli.training.loop import synchronised

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes found."""
    file, port = tmp_path_factory.mktemp("ranks") / "found", free_port()
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "two_ranks", str(file)],
            env=os.environ | environment(rank, port) | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    return torch.load(file)


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    """What one process finds."""
    return alone()


def same(one: torch.Tensor, two: torch.Tensor, rtol: float = 1e-5, atol: float = 1e-7) -> bool:
    return torch.allclose(one, two, rtol=rtol, atol=atol)


def test_gradients_are_those_of_one_process(one: dict, two: dict) -> None:
    """Of 31 images, 15 of them on rank 0."""
    gradient = line().layer.weight.detach() - one["gradient"]["weights"]
    assert gradient.abs().max() > 1e-3
    assert same(gradient, line().layer.weight.detach() - two["gradient"]["weights"], atol=1e-6)


@pytest.mark.parametrize("case", ["trained", "last of two"])
def test_final_weights_and_what_is_told_are_those_of_one_process(one: dict, two: dict, case: str) -> None:
    """With a last batch of 7 images, and with one of 2, which is not divided; clipped and averaged."""
    assert same(one[case]["weights"], two[case]["weights"])
    assert not same(one[case]["weights"], line().layer.weight.detach(), rtol=1e-2)
    assert len(one[case]["told"]) == 3
    for wanted, told in zip(one[case]["told"], two[case]["told"], strict=True):
        assert told == pytest.approx(wanted, rel=1e-5)


def test_the_scaler_of_fp16_keeps_its_scale(one: dict, two: dict) -> None:
    assert same(one["fp16"]["weights"], two["fp16"]["weights"], rtol=1e-2, atol=1e-4)
    assert not torch.equal(one["fp16"]["weights"], one["trained"]["weights"])


def test_a_partner_is_trained_as_by_one_process(one: dict, two: dict) -> None:
    assert same(one["partner"]["weights"], two["partner"]["weights"])
    assert same(one["partner"]["partner"], two["partner"]["partner"])
    assert not same(one["partner"]["partner"], torch.eye(3), rtol=1e-2)


def test_predictions_are_exactly_those_of_one_process_and_the_batches_are_divided(one: dict, two: dict) -> None:
    assert torch.equal(one["predicted"]["classes"], two["predicted"]["classes"])
    assert len(one["predicted"]["classes"].unique()) > 1
    assert one["predicted"]["read"] == [20, 20, 20, 20, 10] and two["predicted"]["read"] == [20, 20, 10]


def test_gradients_are_added_up_and_one_that_no_rank_has_stays_none(two: dict) -> None:
    both, other, none, alone = two["gradients"]
    assert both.tolist() == alone.tolist() == [11.0, 22.0] and other.tolist() == [4.0, 8.0]
    assert none is None


def test_a_loss_is_weighted_before_its_gradient_passes_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """SyncBatchNorm adds up what the losses of all ranks hand back to it: there they have to count as in the batch."""
    monkeypatch.setattr(Ranks, "sum", lambda self, tensor: tensor)
    model, seen = nn.Linear(2, 1), []
    out = model(torch.ones(3, 2))
    out.register_hook(lambda gradient: seen.extend(gradient.flatten().tolist()))
    descent = Descent(model, Plan(steps=1, lr=0.1), torch.float32)
    descent.step(out.sum(), 0.0, weight=0.25, ranks=Ranks(1, 2))
    assert seen == [0.25] * 3 and model.bias.grad is not None and model.bias.grad.item() == 0.75


def test_rank_0_writes_the_checkpoint_and_all_go_on_from_it_to_the_same_weights(two: dict) -> None:
    """With dropout, which every rank draws for itself."""
    whole, resumed = two["interrupted"]
    assert torch.equal(whole, resumed)


def test_each_rank_draws_its_own_dropout(one: dict, two: dict) -> None:
    assert not same(one["masks"], two["masks"], rtol=1e-2, atol=1e-4)


def test_ranks_stay_in_step_but_for_the_running_statistics_of_batch_norm(two: dict) -> None:
    assert two["batch_norm"] == {"parameters": 2.0, "means": 1.0}


def test_a_loss_that_is_not_finite_on_one_rank_ends_all(two: dict) -> None:
    why, ranks = two["refused"]
    assert why.startswith("victim: the loss is no longer finite at step 4 of 12.") and ranks == 2


def test_batch_norm_is_synchronised_on_cuda_in_a_copy(tiny: Data) -> None:
    model, cpu, cuda = untrained(tiny), torch.device("cpu"), torch.device("cuda", 1)
    assert synchronised(model, cuda, ALONE) is model and synchronised(model, cpu, Ranks(0, 2)) is model
    learner = synchronised(model, cuda, Ranks(1, 2))

    def kinds(module: nn.Module) -> set[type]:
        return {type(each) for each in module.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)}

    assert kinds(learner) == {nn.SyncBatchNorm} and kinds(model) == {nn.BatchNorm2d}
    assert learner.state_dict().keys() == model.state_dict().keys()
