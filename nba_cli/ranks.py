"""The processes that torchrun starts for one command, and what they do together.

Rank 0 runs the command. The others follow it: they do what it calls `together` with them and nothing else, so it alone
decides, writes and prints. Without torchrun there is one rank, and nothing here does anything.
"""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

T = TypeVar("T")
LONG = timedelta(days=30)  # no limit: a defense may take days, and a lost process shows by its closed connection
SOON = timedelta(seconds=10)  # in which rank 0 says why all end, if it can
LINGER = 1.0  # seconds: torchrun stops all when one has ended, and rank 0 may still be saying why it did
CALL, END, CODE = "call", "end", "nba/code"


@dataclass(frozen=True)
class Ranks:
    """Who takes part in a computation: this process is `rank` of `size`, and each calls the same methods in turn."""

    rank: int = 0
    size: int = 1

    def part(self, count: int) -> tuple[slice, float]:
        """Which of the `count` images of a batch this rank computes, and the weight of their mean in that of all.

        Fewer than two a rank are not divided, as batch norm needs two: each rank computes all, rank 0's count.
        """
        if count < 2 * self.size:
            return slice(0, count), float(self.rank == 0)
        begin, end = count * self.rank // self.size, count * (self.rank + 1) // self.size
        return slice(begin, end), (end - begin) / count

    def deal(self, parts: Sequence[Tensor], function: Callable[[Tensor], Tensor]) -> Tensor:
        """`function` of every part, classes int64 [n] of its n rows, as one tensor; a rank computes every size-th."""
        mine = [
            function(part)
            if number % self.size == self.rank
            else torch.zeros(len(part), dtype=torch.int64, device=part.device)
            for number, part in enumerate(parts)
        ]
        return self.sum(torch.cat(mine))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, in the place of `tensor`."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def broadcast(self, value: Any) -> Any:
        """What `value` is on rank 0; its tensors are on the CPU elsewhere."""
        if self.size == 1:
            return value
        buffer = io.BytesIO()
        if self.rank == 0:
            torch.save(value, buffer)
        sent = [buffer.getvalue()]
        dist.broadcast_object_list(sent, device=torch.device("cpu"))
        return value if self.rank == 0 else torch.load(io.BytesIO(sent[0]), map_location="cpu", weights_only=False)


ALONE = Ranks()


def launched() -> int:
    """How many processes torchrun started for this command, on all machines; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if dist.is_available() and dist.is_torchelastic_launched() else 1


def here() -> tuple[int, int]:
    """This process's number among those on its machine, and how many they are."""
    return (int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])) if launched() > 1 else (0, 1)


class Channel:
    """How rank 0 tells the others what comes next, and all of them how it ended: by the store that torchrun keeps.

    Whoever waits at a store is woken by a word. A collective that rank 0 does not enter would end in an error.
    """

    to_followers: ClassVar[Channel | None] = None  # of rank 0 while it leads

    def __init__(self, store: Store) -> None:
        self.store, self.words = store, 0

    def say(self, word: str) -> None:
        self.store.set(f"nba/{self.words}", word)
        self.words += 1

    def next(self) -> str:
        key = f"nba/{self.words}"
        self.store.wait([key], LONG)
        self.words += 1
        return self.store.get(key).decode()

    def code(self, patience: timedelta) -> int | None:
        """The exit code of rank 0; None if it has not ended in this time."""
        try:
            self.store.wait([CODE], patience)
        except dist.DistError:
            return None
        return int(self.store.get(CODE))

    def end(self, code: int) -> None:
        self.store.set(CODE, str(code))
        self.say(END)


def together(function: Callable[..., T], *shared: Any, **own: Any) -> T:
    """`function(ranks, *shared, **own)`, at once on every rank; returns what it returns here.

    `shared` is sent to the others, `function` by its name. `own` is rank 0's: files, progress.
    """
    if Channel.to_followers is None:
        return function(ALONE, *shared, **own)
    ranks = Ranks(dist.get_rank(), dist.get_world_size())
    Channel.to_followers.say(CALL)
    ranks.broadcast((function, shared))
    return function(ranks, *shared, **own)


def run(command: Callable[[], int], needed: str) -> int:
    """Run `command` on rank 0, and follow it on the others; returns its exit code on all of them.

    `needed` is the module of what is called together: the others import it while rank 0 begins. An error on one
    follower alone is raised there; torchrun then ends the others.
    """
    if launched() == 1:
        return command()
    # Not there in a torch that was built without. What is imported once there is a group keeps it as the default of its
    # arguments, and a thread of gloo that outlives Python aborts the process.
    import torch.distributed.nn
    from torch.distributed.rendezvous import rendezvous

    if int(os.environ["RANK"]):  # rank 0 says that it was interrupted; Python's own handler would too
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    store, rank, size = next(rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=LONG)
    code = lead(command, Channel(store)) if rank == 0 else follow(Ranks(rank, size), Channel(store), needed)
    dist.destroy_process_group()
    if rank and code:
        time.sleep(LINGER)
    return code


def lead(command: Callable[[], int], channel: Channel) -> int:
    """What rank 0 does."""
    code = 1  # of a defect
    Channel.to_followers = channel
    try:
        code = command()
    finally:
        Channel.to_followers = None
        channel.end(code)
    return code


def follow(ranks: Ranks, channel: Channel, needed: str) -> int:
    """What the other ranks do."""
    import_module(needed)
    while channel.next() == CALL:
        try:
            function, shared = ranks.broadcast(None)
            function(ranks, *shared)
            del shared  # images, perhaps; the next call may come in hours
        except Exception:
            code = channel.code(SOON)  # if rank 0 has failed, here or by the same, it says why
            if not code:
                raise
            return code
    return channel.code(SOON) or 0
