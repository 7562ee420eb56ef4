"""What two processes compute together in the tests of `fit` and `predict`, and what one process computes instead.

`python -m two_ranks FILE` is one of the two processes; rank 0 writes what they found to FILE.
"""

from __future__ import annotations

import functools
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from builders import Line, tiny_arrays, untrained
from torch import Tensor, nn

from nba_cli import ranks
from nba_cli.data import Augment, Data
from nba_cli.errors import Refused
from nba_cli.ranks import ALONE, Ranks
from nba_cli.seeds import generator
from nba_cli.training import Event, Partner, Plan, Schedule, fit, predict
from nba_cli.training.descent import add_up

AUGMENT = Augment(crop=1, flip=True)
STEP = Plan(steps=1, batch=31, lr=1.0, momentum=0.0, decay=0.0, schedule=Schedule.constant)
"""The weights change by the gradient of the whole set."""

PLAN = Plan(epochs=3, batch=8, lr=0.05, clip=0.5, average=0.8)


def tiny(count: int) -> Data:
    arrays = tiny_arrays()
    return Data(torch.from_numpy(arrays["x_train"]).permute(0, 3, 1, 2)[:count].contiguous(), torch.arange(count) % 3)


def line() -> Line:
    model = Line()
    nn.init.constant_(model.layer.bias, 0.0)
    nn.init.uniform_(model.layer.weight, -0.02, 0.02, generator=torch.Generator().manual_seed(0))
    return model


def trained(ranks: Ranks, count: int, plan: Plan, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """A network without batch norm on the first `count` images: its weights, and the loss and accuracy of epochs."""
    told: list[dict] = []

    def note(event: Event) -> None:
        if event.scalars is not None and "epoch" in event.scalars:
            told.append({name: event.scalars[name] for name in ("loss", "acc")})

    random = generator(0, "train")
    model = fit(line(), tiny(count), plan, augment=AUGMENT, generator=random, dtype=dtype, progress=note, ranks=ranks)
    return {"weights": model.layer.weight.detach(), "told": told}


def with_partner(ranks: Ranks) -> dict[str, Tensor]:
    """The same with a partner."""
    head = nn.Linear(3, 3)
    with torch.no_grad():
        head.weight.copy_(torch.eye(3))
        head.bias.zero_()

    def objective(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logits = head(model(x))
        return F.cross_entropy(logits, y), logits

    partner = Partner(head, torch.optim.Adam(head.parameters(), 0.01))
    random = generator(0, "train")
    model = fit(line(), tiny(30), PLAN, objective, augment=AUGMENT, generator=random, partner=partner, ranks=ranks)
    return {"weights": model.layer.weight.detach(), "partner": head.weight.detach()}


class Dropping(Line):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.dropout(x.flatten(1), 0.5, self.training))


def dropping(ranks: Ranks, data: Data, plan: Plan, stop: int | None = None, checkpoint: Path | None = None) -> Tensor:
    """The weights of a network with dropout; on all ranks the training ends before step `stop`."""
    calls: list[int] = []

    def objective(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if len(calls) == stop:
            raise InterruptedError
        calls.append(len(x))
        logits = model(x)
        return F.cross_entropy(logits, y), logits

    model = Dropping()
    model.load_state_dict(line().state_dict())
    random = generator(0, "train")
    fit(model, data, plan, objective, augment=AUGMENT, generator=random, checkpoint=checkpoint, ranks=ranks)
    return model.layer.weight.detach()


def interrupted(ranks: Ranks, file: Path | None = None) -> tuple[Tensor, Tensor]:
    """The weights of a whole training, and of one that goes on after its second epoch; rank 0 has the file."""
    data = tiny(30)
    whole = dropping(ranks, data, PLAN)
    try:
        dropping(ranks, data, PLAN, stop=10, checkpoint=file)
    except InterruptedError:
        return whole, dropping(ranks, data, PLAN, checkpoint=file)
    raise AssertionError("it was to be interrupted")


def masks(ranks: Ranks) -> Tensor:
    """The weights after a step on four equal images: with equal dropout on both ranks, as after a step on two."""
    data = tiny(1)
    plain = Plan(steps=1, batch=4, lr=1.0, momentum=0.0, decay=0.0, schedule=Schedule.constant)
    count = 4 if ranks.size == 2 else 2
    same = Data(data.images.expand(count, -1, -1, -1).contiguous(), data.labels.expand(count).contiguous())
    model = Dropping()
    model.load_state_dict(line().state_dict())
    fit(model, same, plain, augment=Augment(0, False), generator=generator(0, "train"), ranks=ranks)
    return model.layer.weight.detach()


def batch_norm(ranks: Ranks) -> dict[str, Any]:
    """A network with batch norm: on how many ranks its parameters and its running means are those of rank 0."""
    data = tiny(60)
    model = fit(
        untrained(data), data, Plan(steps=3, batch=20), augment=AUGMENT, generator=generator(0, "t"), ranks=ranks
    )
    parts = {
        "parameters": torch.cat([value.flatten() for value in model.parameters()]),
        "means": torch.cat([value for name, value in model.state_dict().items() if name.endswith("running_mean")]),
    }
    same = {name: torch.equal(ranks.broadcast(value), value) for name, value in parts.items()}
    return {name: ranks.sum(torch.tensor(float(value))).item() for name, value in same.items()}


def refused(ranks: Ranks) -> tuple[str, float]:
    """What a loss that is not finite on the last rank alone is refused with, and on how many ranks."""

    def explode(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(x)
        return F.cross_entropy(logits, y) * (float("nan") if ranks.rank == 1 else 1), logits

    why = ""
    try:
        fit(line(), tiny(32), PLAN, explode, augment=AUGMENT, generator=generator(0, "t"), phase="victim", ranks=ranks)
    except Refused as error:
        why = str(error)
    return why, ranks.sum(torch.tensor(float(why != ""))).item()


def predicted(ranks: Ranks) -> dict[str, Any]:
    """Classes of 90 images by batches of 20, and how many batches this rank has read."""
    model = untrained(tiny(60))
    read: list[int] = []
    model.register_forward_hook(lambda module, given, out: read.append(len(out)))
    return {"classes": predict(model, tiny(90).images, batch=20, ranks=ranks), "read": read}


def gradients(ranks: Ranks) -> list[Tensor | None]:
    """Of three weights: one that both ranks have a gradient of, one that rank 1 alone has, one that none has.

    And of one that both have, alone.
    """
    weights = [nn.Parameter(torch.zeros(2)) for _ in range(4)]
    for weight in (weights[0], weights[3]):
        weight.grad = torch.tensor([1.0, 2.0]) if ranks.rank == 0 else torch.tensor([10.0, 20.0])
    weights[1].grad = None if ranks.rank == 0 else torch.tensor([4.0, 8.0])
    add_up(weights[:3], ranks)
    add_up(weights[3:], ranks)
    return [weight.grad for weight in weights]


CASES: dict[str, Callable[[Ranks], Any]] = {
    "gradient": functools.partial(trained, count=31, plan=STEP),
    "trained": functools.partial(trained, count=31, plan=PLAN),
    "last of two": functools.partial(trained, count=26, plan=PLAN),
    "fp16": functools.partial(trained, count=31, plan=PLAN, dtype=torch.float16),
    "partner": with_partner,
    "masks": masks,
    "predicted": predicted,
}
"""What one process computes as well."""


def together(file: str) -> int:
    """What rank 0 does."""
    both = {name: ranks.together(case) for name, case in CASES.items()}
    with tempfile.TemporaryDirectory() as folder:
        both["interrupted"] = ranks.together(interrupted, file=Path(folder) / "checkpoint")
    both |= {case.__name__: ranks.together(case) for case in (batch_norm, refused, gradients)}
    torch.save(both, file)
    return 0


def alone() -> dict[str, Any]:
    return {name: case(ALONE) for name, case in CASES.items()}


def environment(rank: int, port: int) -> dict[str, str]:
    """What torchrun would set for one of two processes."""
    ours = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return ours | where | {"TORCHELASTIC_RUN_ID": "test"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


if __name__ == "__main__":
    from two_ranks import together as as_imported  # its functions are sent by the name that the other rank knows

    code = ranks.run(functools.partial(as_imported, sys.argv[1]), needed="two_ranks")
    left = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    sys.exit(f"threads of gloo would outlive Python: {left}" if any("gloo" in name for name in left) else code)
