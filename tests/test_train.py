"""The training loop: schedule, golden losses, checkpoints, averaging, failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nba_cli import devices
from nba_cli.data import Augment, Data
from nba_cli.devices import Precision
from nba_cli.errors import Refused
from nba_cli.plan import Plan, Schedule, rate_at
from nba_cli.seeds import derive, generator
from nba_cli.train import Partner, fit
from nba_cli.victims.wrn import WideResNet

PLAIN = Augment(crop=0, flip=False)


def test_schedules() -> None:
    assert [rate_at(Schedule.onecycle, step, 10) for step in (0, 1, 2)] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rate_at(Schedule.onecycle, 6, 10) == pytest.approx(0.5)
    assert [rate_at(Schedule.cosine, step, 4) for step in range(4)] == pytest.approx(
        [1, 0.853553, 0.5, 0.146447], abs=1e-6
    )
    assert {rate_at(Schedule.constant, step, 4) for step in range(4)} == {1.0}
    for schedule in Schedule:
        for total in (1, 2, 3, 50):
            assert all(0 < rate_at(schedule, step, total) <= 1 for step in range(total))


def test_plan_lengths() -> None:
    assert Plan(epochs=3, batch=128).total(500) == 12, "500 images are 4 steps an epoch"
    assert Plan(epochs=0.5, batch=10).total(100) == 5
    assert Plan(steps=7).total(500) == 7
    wrong: dict[str, Any]
    for wrong in ({}, {"epochs": 1, "steps": 1}):
        with pytest.raises(Refused, match="give one length and set the other to null"):
            Plan(**wrong)
    for wrong in (
        {"steps": 0},
        {"steps": 1, "batch": 0},
        {"steps": 1, "lr": 0.0},
        {"steps": 1, "momentum": 1.0},
        {"steps": 1, "average": 1.0},
    ):
        with pytest.raises(Refused):
            Plan(**wrong)


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 2)
        with torch.no_grad():
            self.fc.weight.copy_(torch.linspace(-1, 1, 24).reshape(2, 12))
            self.fc.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1))


def tiny_linear() -> Data:
    images = torch.randint(0, 256, (6, 3, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Data(images, torch.tensor([0, 1, 0, 1, 0, 1]))


def test_losses_match_sgd_written_out() -> None:
    """Full batches: the order of images does not matter, so nesterov SGD can be followed by hand."""
    data, losses = tiny_linear(), []
    plan = Plan(steps=4, batch=6, lr=0.5, schedule=Schedule.constant, decay=0.01)
    fit(
        Linear(),
        data,
        plan,
        augment=PLAIN,
        generator=torch.Generator(),
        report=lambda phase, step, total, scalars=None, *rest: losses.append(scalars["loss"]) if scalars else None,
    )

    model, wanted, velocity = Linear(), [], {}
    x = data.images.float() / 255
    for step in range(4):
        loss = F.cross_entropy(model(x), data.labels)
        wanted.append(loss.item())
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for number, (weight, slope) in enumerate(zip(model.parameters(), slopes, strict=True)):
                slope = slope + 0.01 * weight
                velocity[number] = slope if step == 0 else 0.9 * velocity[number] + slope
                weight -= 0.5 * (slope + 0.9 * velocity[number])
    assert losses == pytest.approx(wanted, rel=1e-5)
    assert wanted[-1] < wanted[0]


def test_every_image_is_seen_once_an_epoch() -> None:
    seen: list[int] = []
    data = Data(
        torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1).expand(10, 3, 2, 2).contiguous(),
        torch.zeros(10).long(),
    )

    def watch(images: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        seen.extend(images[:, 0, 0, 0].tolist())
        return images.float() / 255

    fit(Linear(), data, Plan(epochs=2, batch=4), augment=watch, generator=torch.Generator().manual_seed(0))
    assert sorted(seen[:10]) == list(range(10)) and sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:], "a new order every epoch"


def test_a_last_image_joins_the_batch_before() -> None:
    """Batch norm on maps of one pixel refuses a batch of one image."""
    for count, wanted in ((9, [4, 5]), (8, [4, 4]), (10, [4, 4, 2]), (1, [1])):
        sizes: list[int] = []
        data = Data(torch.zeros(count, 3, 2, 2, dtype=torch.uint8), torch.zeros(count).long())

        def watch(images: torch.Tensor, _: torch.Generator, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(len(images))
            return images.float() / 255

        fit(Linear(), data, Plan(epochs=2, batch=4), augment=watch, generator=torch.Generator())
        assert sizes == wanted * 2


def test_clip_bounds_the_step() -> None:
    model, plan = (
        Linear(),
        Plan(steps=1, batch=6, lr=1.0, momentum=0.0, decay=0.0, clip=1e-3, schedule=Schedule.constant),
    )
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    fit(model, tiny_linear(), plan, augment=PLAIN, generator=torch.Generator())
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert (after - before).norm().item() == pytest.approx(1e-3, rel=1e-2)


def test_average_is_the_exponential_mean_of_the_weights() -> None:
    path, plan = [], Plan(steps=3, batch=6, lr=0.5, schedule=Schedule.constant)
    model = Linear()
    fit(model, tiny_linear(), plan, augment=PLAIN, generator=torch.Generator())
    for steps in (1, 2, 3):
        other = Linear()
        fit(
            other,
            tiny_linear(),
            Plan(steps=steps, batch=6, lr=0.5, schedule=Schedule.constant),
            augment=PLAIN,
            generator=torch.Generator(),
        )
        path.append(other.fc.weight.detach().clone())
    averaged = Linear()
    plan.average = 0.75
    fit(averaged, tiny_linear(), plan, augment=PLAIN, generator=torch.Generator())
    wanted = 0.75 * (0.75 * path[0] + 0.25 * path[1]) + 0.25 * path[2]
    assert torch.allclose(averaged.fc.weight, wanted, atol=1e-6)


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_killed_run_continues_to_the_same_weights(tiny: Data, tmp_path: Path, average: float | None) -> None:
    plan = Plan(epochs=4, batch=60, lr=0.05, average=average)
    kwargs = {"augment": Augment(), "dtype": torch.bfloat16}
    whole = fit(WideResNet(depth=10).build(3, tiny), tiny, plan, generator=generator(0, "train"), **kwargs)

    class Killed(Exception):
        pass

    def kill(phase: str, step: int, total: int, scalars: dict | None = None, *rest: object) -> None:
        if step == 10:  # in the middle of the third epoch
            raise Killed

    file = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        fit(
            WideResNet(depth=10).build(3, tiny),
            tiny,
            plan,
            generator=generator(0, "train"),
            report=kill,
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
        report=lambda phase, step, total, scalars=None, *rest: steps.append(step),
        **kwargs,
    )
    assert steps[0] == 9, "goes on after the last finished epoch"
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


class Dropping(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(F.dropout(x.flatten(1), 0.5, self.training))


def test_dropout_is_seeded_resumed_and_leaves_the_global_state_alone(tmp_path: Path) -> None:
    data, plan = tiny_linear(), Plan(epochs=6, batch=4, lr=0.1)
    file = tmp_path / "checkpoint"

    class Killed(Exception):
        pass

    def kill(phase: str, step: int, total: int, scalars: dict | None = None, *rest: object) -> None:
        if step == 7:
            raise Killed

    fresh = Dropping()
    state = torch.get_rng_state()
    whole = fit(fresh, data, plan, augment=PLAIN, generator=generator(0, "train"))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(99)
    with pytest.raises(Killed):
        fit(Dropping(), data, plan, augment=PLAIN, generator=generator(0, "train"), report=kill, checkpoint=file)
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

        def kill(phase: str, step: int, total: int, scalars: dict | None = None, *rest: object) -> None:
            if step == at:
                raise Killed

        model = fit(Linear(), data, plan, objective, augment=PLAIN, generator=generator(0, "train"), report=kill,
                    checkpoint=checkpoint, partner=Partner(partner, optimizer))  # fmt: skip
        return model.fc.weight.detach(), partner.weight.detach()

    whole = train(None, None)
    # Adam's first steps are as long as its rate, whatever the model's gradient is clipped to
    assert (whole[1] - torch.eye(2)).abs().min() > 0.05
    with pytest.raises(Killed):
        train(4, file)
    resumed = train(None, file)
    assert torch.equal(whole[0], resumed[0]) and torch.equal(whole[1], resumed[1])


def test_a_checkpoint_of_another_device_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    fit(Linear(), tiny_linear(), Plan(epochs=1), augment=PLAIN, generator=generator(0, "train"), checkpoint=file)
    payload = torch.load(file, weights_only=True)
    torch.save(payload | {"device": "cuda"}, file)
    with pytest.raises(Refused, match=r"begun on cuda, cannot go on on cpu. Set device=cuda, or overwrite=true"):
        fit(Linear(), tiny_linear(), Plan(epochs=1), augment=PLAIN, generator=generator(0, "train"), checkpoint=file)


def test_seconds_go_on_after_an_interruption(tmp_path: Path) -> None:
    file, seen = tmp_path / "checkpoint", []
    fit(Linear(), tiny_linear(), Plan(steps=1), augment=PLAIN, generator=generator(0, "train"), checkpoint=file)
    payload = torch.load(file, weights_only=True)
    torch.save(payload | {"seconds": 1000.0}, file)
    fit(
        Linear(),
        tiny_linear(),
        Plan(steps=2),
        augment=PLAIN,
        generator=generator(0, "train"),
        checkpoint=file,
        report=lambda phase, step, total, scalars=None, *rest: seen.append(scalars["seconds"]) if scalars else None,
    )
    assert 1000 <= seen[0] < 1010


def test_a_loss_that_is_no_longer_finite_is_refused_and_keeps_the_checkpoint(tiny: Data, tmp_path: Path) -> None:
    def explode(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(x)
        calls.append(1)
        return F.cross_entropy(logits, y) * (float("nan") if len(calls) > 6 else 1), logits

    calls: list[int] = []
    file = tmp_path / "checkpoint"
    with pytest.raises(Refused, match=r"victim: the loss is no longer finite at step 8 of 12. Lower the learning rate"):
        fit(
            WideResNet(depth=10).build(3, tiny),
            tiny,
            Plan(epochs=3, batch=60),
            explode,
            augment=Augment(),
            generator=generator(0, "train"),
            phase="victim",
            checkpoint=file,
        )
    assert torch.load(file, weights_only=True)["step"] == 4


def test_streams_are_independent() -> None:
    assert derive(0, "poison") != derive(0, "train") != derive(1, "train")
    assert torch.equal(torch.rand(3, generator=generator(3, "a")), torch.rand(3, generator=generator(3, "a")))


def test_cpu_is_always_there() -> None:
    assert devices.resolve("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:99", "cpu:"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(Refused, match=f"device={name}"):
        devices.resolve(name)


def test_precision_resolves_to_what_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for has, wanted in ((True, Precision.bf16), (False, Precision.fp32)):
        monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda has=has: has)
        assert devices.resolve_precision(Precision.auto, cpu) is wanted
    assert devices.resolve_precision(Precision.fp16, cpu) is Precision.fp16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_trains(tiny: Data, dtype: torch.dtype) -> None:
    history: list[dict] = []
    network = fit(
        WideResNet(depth=10).build(3, tiny),
        tiny,
        Plan(epochs=3, batch=60, lr=0.1, clip=5.0),
        augment=Augment(),
        generator=generator(0, "train"),
        dtype=dtype,
        report=lambda phase, step, total, scalars=None, *rest: history.append(scalars) if scalars else None,
    )
    assert json.loads(json.dumps(history))[-1]["loss"] < history[0]["loss"]
    assert all(value.dtype in (torch.float32, torch.int64) for value in network.state_dict().values())
