"""Whether a victim suits the run, and fits into memory with the batches that it is trained on: seen on the meta device
before anything runs, because the system ends a process that takes too much without a word."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nba_cli.data import Splits
from nba_cli.devices import memory
from nba_cli.errors import Refused
from nba_cli.ranks import Ranks, launched
from nba_cli.runs.registry import kind
from nba_cli.runs.settings import AttackRun, DefendRun, default_of
from nba_cli.training import Plan
from nba_cli.victims import Network, Victim

T = TypeVar("T")
USUAL = 32  # pixels a side, where the data set has not been looked at
COPIES = 3  # of the weights, while they are trained: themselves, their gradient, its momentum
WEIGHT = 4  # bytes: they stay fp32
KEPT = 2, 4  # images of the two passes that tell what one image more keeps for the backward pass


def check(stage: str, run: AttackRun, splits: Splits, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a victim or a batch that this machine has no room for, and a victim that the defense cannot clean.

    What is counted is the least that is needed: the weights, and for a training stage their gradients and momentum and
    what the largest batch keeps for the backward pass.

    Raises:
        Refused: that is more than the memory of the machine, or the GPU; or `victim.mean`, `victim.std` or the victim
            itself does not suit the images, or the defense not the victim.
    """
    network = blank(run.victim, splits)
    if network is None:
        return
    if isinstance(run, DefendRun):
        run.defense.check(network)
    count = sum(parameter.numel() for parameter in network.parameters())
    have, trained = memory(device), stage in ("attack", "defend")
    need = count * WEIGHT * (COPIES if trained else 1)
    if need > have:
        raise Refused(
            f"{chosen(run.victim)}: {count:,} weights take {need / 1e9:,.0f} GB; there are {have / 1e9:,.0f}."
        )
    plans = dict(plans_of(stage, run)) if trained else {}
    if not plans:
        return
    images = len(splits.train)
    if isinstance(run, DefendRun) and not splits.defender:
        images = max(splits.num_classes, round(run.dataset.clean_ratio * images))
    option, batch = max(((path, min(plan.batch, images)) for path, plan in plans.items()), key=lambda x: x[1])
    each = attempted(lambda: kept(network, splits, dtype))
    if each is None:
        return
    size = launched() if stage == "attack" and device.type == "cuda" else 1  # each process has a GPU of its own
    largest = Ranks(size - 1, size).part(batch)[0]
    need += (largest.stop - largest.start) * each
    if need > have:
        raise Refused(
            f"{option}.batch={plans[option].batch}: a batch of {batch:,} images takes {need / 1e9:,.0f} GB"
            f"{f' on each of {size} GPUs' if size > 1 else ''}; there are {have / 1e9:,.0f}. Choose a smaller one."
        )


def blank(victim: Victim, splits: Splits) -> Network | None:
    """The victim's network for these images, on the meta device; what is refused, and when it is None: `attempted`."""
    return attempted(lambda: on_meta(victim, splits.num_classes, splits.shape))


@dataclass(frozen=True)
class Blank:
    """A victim as it is known before its data are: for two classes and images of `size` x `size`, or of a usual size.

    Fields:
        name: all of its settings; `victim` itself has no hash
    """

    name: str
    victim: Victim = field(compare=False)
    size: int | None


@functools.lru_cache(maxsize=16)  # the jobs of a sweep share their victims
def network_of(blank: Blank) -> Network | None:
    """Its network on the meta device; None if that cannot be told.

    Raises:
        Refused: images of the given size do not suit it.
    """
    victim, side = blank.victim, blank.size or USUAL
    channels = len(victim.mean or victim.std or "RGB")
    try:
        return attempted(lambda: on_meta(victim, 2, (channels, side, side)))
    except Refused:
        if blank.size is None:  # those of the data set may suit it
            return None
        raise


def check_defense(run: DefendRun) -> None:
    """Refuse a victim that the defense cannot clean, as far as that can be told without data.

    Raises:
        Refused: the defense does not suit it.
    """
    network = network_of(Blank(repr(run.victim), run.victim, run.dataset.size))
    if network is not None:
        run.defense.check(network)


def chosen(victim: Victim) -> str:
    """The options of a victim that differ from their defaults, as a user writes them; its name if none does."""
    found = {option.name: getattr(victim, option.name) for option in fields(victim)}
    defaults = {option.name: default_of(option) for option in fields(victim)}
    words = [f"victim.{name}={value}" for name, value in found.items() if value != defaults[name]]
    return " ".join(words) or f"victim={kind(victim)}"


def plans_of(stage: str, run: AttackRun) -> Iterator[tuple[str, Plan]]:
    """The plans that a stage trains by, with their paths."""
    if stage == "attack":
        yield "train", run.train
    elif isinstance(run, DefendRun):
        for option in fields(run.defense):
            if isinstance(plan := getattr(run.defense, option.name), Plan):
                yield f"defense.{option.name}", plan


def on_meta(victim: Victim, num_classes: int, shape: tuple[int, int, int]) -> Network:
    """The victim's network for images of `shape` (C,H,W), without memory for its weights."""
    with torch.device("meta"):
        network = victim.blank(num_classes, shape)
    return network.to("meta")


def attempted(estimate: Callable[[], T]) -> T | None:
    """What `estimate` finds; None of a victim of a user's own that is no good without values.

    Raises:
        Refused: the victim does not suit the images.
    """
    try:
        return estimate()
    except Refused:
        raise
    except Exception:
        return None


def kept(network: Network, splits: Splits, dtype: torch.dtype) -> float:
    """Bytes that a pass keeps of one image more until it is passed backward, in arithmetic of `dtype`."""
    few, more = (saved(network, torch.zeros(n, *splits.shape, device="meta")) for n in KEPT)
    return (more - few) / (KEPT[1] - KEPT[0]) * torch.finfo(dtype).bits / 8


class Attended(torch.autograd.Function):
    """What attention keeps where it is fused: queries, keys, values [N,heads,T,D] and its output, laid out as the
    queries are, so that reading all heads of a token needs no copy.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out


@contextlib.contextmanager
def fused_attention() -> Iterator[None]:
    """Attention keeps what it keeps on a CPU or GPU. The meta device has no fused one: it would keep the weights of all
    pairs of tokens [...,T,T], several times as much as all else of a ViT with many tokens.
    """
    own = F.scaled_dot_product_attention
    F.scaled_dot_product_attention = lambda query, key, value, *_, **__: Attended.apply(query, key, value)
    try:
        yield
    finally:
        F.scaled_dot_product_attention = own


def saved(network: nn.Module, x: Tensor) -> int:
    """How many numbers a pass of x keeps for the backward pass; what several operations keep counts once."""
    found: dict[int, Tensor] = {}  # held meanwhile, so that no other storage gets the same place

    def note(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), fused_attention():
        network.train()(x)
    return sum(tensor.numel() for tensor in found.values())
