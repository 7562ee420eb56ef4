"""Interrupted trainings end as if they had not been."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from builders import Linear, tiny_linear
from torch import nn

from nba_cli.data import Augment, Data
from nba_cli.errors import Refused
from nba_cli.seeds import generator
from nba_cli.training import Event, Partner, Plan, checkpoint, fit
from nba_cli.victims import WideResNet

PLAIN = Augment(crop=0, flip=False)


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_killed_run_continues_to_the_same_weights(tiny: Data, tmp_path: Path, average: float | None) -> None:
    plan = Plan(epochs=4, batch=60, lr=0.05, average=average)
    kwargs = {"augment": Augment(), "dtype": torch.bfloat16}
    whole = fit(WideResNet(depth=10).build(3, tiny), tiny, plan, generator=generator(0, "train"), **kwargs)

    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        if event.step == 10:  # in the middle of the third epoch
            raise Killed

    file = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        fit(
            WideResNet(depth=10).build(3, tiny),
            tiny,
            plan,
            generator=generator(0, "train"),
            progress=kill,
            checkpoint=file,
            **kwargs,
        )
    steps = []
    resumed = fit(
        WideResNet(depth=10).build(3, tiny, seed=9),
        tiny,
        plan,
        generator=generator(5, "other"),
        checkpoint=file,
        progress=lambda event: steps.append(event.step),
        **kwargs,
    )
    assert steps[0] == 9, "goes on after the last finished epoch"
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_the_loss_scale_of_fp16_goes_on_after_an_interruption(tmp_path: Path) -> None:
    """The first steps overflow and are left out until the scale has come down; a scale of old would leave out more."""

    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        if event.step == 5:
            raise Killed

    def steep(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(x).float()
        return 16 * F.cross_entropy(logits, y), logits

    def train(**more: Any) -> torch.Tensor:
        given = {"augment": PLAIN, "generator": generator(0, "train"), "dtype": torch.float16}
        return fit(Linear(), tiny_linear(), Plan(epochs=6, batch=6, lr=0.01), steep, **given, **more).fc.weight

    with pytest.raises(Killed):
        train(progress=kill, checkpoint=tmp_path / "checkpoint")
    assert torch.equal(train(), train(checkpoint=tmp_path / "checkpoint"))
    assert 1 < checkpoint.read(tmp_path / "checkpoint")["scaler"]["scale"] < 2.0**16


class Dropping(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(F.dropout(x.flatten(1), 0.5, self.training))


def test_dropout_is_seeded_resumed_and_leaves_the_global_state_alone(tmp_path: Path) -> None:
    data, plan = tiny_linear(), Plan(epochs=6, batch=4, lr=0.1)
    file = tmp_path / "checkpoint"

    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        if event.step == 7:
            raise Killed

    fresh = Dropping()
    state = torch.get_rng_state()
    whole = fit(fresh, data, plan, augment=PLAIN, generator=generator(0, "train"))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(99)
    with pytest.raises(Killed):
        fit(Dropping(), data, plan, augment=PLAIN, generator=generator(0, "train"), progress=kill, checkpoint=file)
    resumed = fit(Dropping(), data, plan, augment=PLAIN, generator=generator(0, "train"), checkpoint=file)
    assert torch.equal(whole.fc.weight, resumed.fc.weight)


def test_a_partner_learns_from_the_same_loss_with_its_own_optimizer_and_is_resumed(tmp_path: Path) -> None:
    data, plan, file = tiny_linear(), Plan(epochs=4, batch=4, lr=0.1, clip=0.01), tmp_path / "checkpoint"

    class Killed(Exception):
        pass

    def train(at: int | None, checkpoint: Path | None) -> tuple[torch.Tensor, torch.Tensor]:
        partner = nn.Linear(2, 2)
        with torch.no_grad():
            partner.weight.copy_(torch.eye(2))
            partner.bias.zero_()
        optimizer = torch.optim.Adam(partner.parameters(), 0.05)

        def objective(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = partner(model(x))
            return F.cross_entropy(logits, y), logits

        def kill(event: Event) -> None:
            if event.step == at:
                raise Killed

        model = fit(Linear(), data, plan, objective, augment=PLAIN, generator=generator(0, "train"), progress=kill,
                    checkpoint=checkpoint, partner=Partner(partner, optimizer))  # fmt: skip
        return model.fc.weight.detach(), partner.weight.detach()

    whole = train(None, None)
    # Adam's first steps are as long as its rate, whatever the model's gradient is clipped to
    assert (whole[1] - torch.eye(2)).abs().min() > 0.05
    with pytest.raises(Killed):
        train(4, file)
    resumed = train(None, file)
    assert torch.equal(whole[0], resumed[0]) and torch.equal(whole[1], resumed[1])


def rewrite(file: Path, **changes: object) -> None:
    """Change what a checkpoint says."""
    buffer = io.BytesIO()
    torch.save(checkpoint.read(file) | changes, buffer)
    file.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content[:1000] + bytes([content[1000] ^ 16]) + content[1001:],
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"random" * 100,
    ],
)
def test_a_damaged_checkpoint_is_noticed(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    file, model, plan = tmp_path / "checkpoint", Linear(), Plan(epochs=1)
    fit(model, tiny_linear(), plan, augment=PLAIN, generator=generator(0, "train"), checkpoint=file)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(Refused, match=r"checkpoint: this checkpoint is damaged\. Delete the file to start over"):
        fit(Linear(), tiny_linear(), plan, augment=PLAIN, generator=generator(0, "train"), checkpoint=file)


def test_a_checkpoint_of_another_training_is_refused(tiny: Data, tmp_path: Path) -> None:
    file, plan = tmp_path / "checkpoint", Plan(epochs=1)
    fit(Linear(), tiny_linear(), plan, augment=PLAIN, generator=generator(0, "train"), checkpoint=file)
    with pytest.raises(Refused, match="checkpoint: this checkpoint is of another training"):
        fit(
            WideResNet(depth=10).build(3, tiny), tiny, plan, augment=PLAIN, generator=generator(0, "t"), checkpoint=file
        )


def test_a_checkpoint_of_another_device_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    fit(Linear(), tiny_linear(), Plan(epochs=1), augment=PLAIN, generator=generator(0, "train"), checkpoint=file)
    rewrite(file, device="cuda")
    with pytest.raises(Refused, match=r"made on cuda and cannot be resumed on cpu. Set device=cuda, or delete"):
        fit(Linear(), tiny_linear(), Plan(epochs=1), augment=PLAIN, generator=generator(0, "train"), checkpoint=file)


def test_a_checkpoint_of_more_processes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    fit(Linear(), tiny_linear(), Plan(epochs=1), augment=PLAIN, generator=generator(0, "train"), checkpoint=file)
    rewrite(file, ranks=2)
    with pytest.raises(Refused, match="made by 2 processes and cannot be resumed by 1: batch norm"):
        fit(Linear(), tiny_linear(), Plan(epochs=1), augment=PLAIN, generator=generator(0, "train"), checkpoint=file)


def test_seconds_go_on_after_an_interruption(tmp_path: Path) -> None:
    file, seen = tmp_path / "checkpoint", []
    fit(Linear(), tiny_linear(), Plan(steps=1), augment=PLAIN, generator=generator(0, "train"), checkpoint=file)
    rewrite(file, seconds=1000.0)
    fit(
        Linear(),
        tiny_linear(),
        Plan(steps=2),
        augment=PLAIN,
        generator=generator(0, "train"),
        checkpoint=file,
        progress=lambda event: seen.append(event.scalars["seconds"]) if event.scalars else None,
    )
    assert 1000 <= seen[0] < 1010


def test_a_loss_that_is_no_longer_finite_is_refused_and_keeps_the_checkpoint(tiny: Data, tmp_path: Path) -> None:
    def explode(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(x)
        calls.append(1)
        return F.cross_entropy(logits, y) * (float("nan") if len(calls) > 6 else 1), logits

    calls: list[int] = []
    file = tmp_path / "checkpoint"
    with pytest.raises(
        Refused, match=r"victim: the loss is no longer finite at step 8 of 12. Lower train.lr=0.1, or set train.clip=1."
    ):
        fit(
            WideResNet(depth=10).build(3, tiny),
            tiny,
            Plan(epochs=3, batch=60),
            explode,
            augment=Augment(),
            generator=generator(0, "train"),
            phase="victim",
            option="train",
            checkpoint=file,
        )
    assert checkpoint.read(file)["step"] == 4
