"""Ranks: how a batch is divided, and how rank 0 leads and the others follow. Without torchrun there is one."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore
from two_ranks import environment

from nba_cli import devices, ranks
from nba_cli.errors import Refused
from nba_cli.ranks import ALONE, Channel, Ranks


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if torchrun had started this process as the second of two."""
    for name, value in environment(1, 1).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 5, 6, 31])
def test_the_parts_of_a_batch_are_all_of_it_and_their_weights_add_up(size: int, count: int) -> None:
    parts = [Ranks(rank, size).part(count) for rank in range(size)]
    counted = [list(range(count))[part] for part, weight in parts if weight]
    assert [number for part in counted for number in part] == list(range(count))
    assert sum(weight for _, weight in parts) == pytest.approx(1)
    assert all(weight == len(range(count)[part]) / count for part, weight in parts if weight)
    assert count == 1 or all(len(range(count)[part]) >= 2 for part, _ in parts), "batch norm needs two"


def test_alone_nothing_is_sent() -> None:
    values = torch.tensor([1.0, 2.0])
    assert ALONE.sum(values) is values and ALONE.broadcast(values) is values
    assert ranks.together(lambda ranks, *shared, **own: (ranks, shared, own), 1, a=2) == (ALONE, (1,), {"a": 2})
    assert ranks.run(lambda: 7, needed="absent") == 7 and ranks.launched() == 1 and ranks.here() == (0, 1)


class Threads:
    """`lead` and `follow` as two threads at one store; what rank 0 broadcasts is handed over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.sent = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False), queue.Queue[Any]()
        monkeypatch.setattr(dist, "get_rank", lambda: 0)
        monkeypatch.setattr(dist, "get_world_size", lambda: 2)
        monkeypatch.setattr(Ranks, "broadcast", self.broadcast)
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr(ranks, "SOON", timedelta(seconds=0.2))

    def broadcast(self, value: Any) -> Any:
        if value is None:
            return self.sent.get(timeout=30)
        self.sent.put(value)
        return value

    def follow(self) -> Callable[[], Any]:
        """Start the follower; returns what waits for its exit code, or for what it raised."""
        found: list[Any] = []

        def target() -> None:
            try:
                store = TCPStore("127.0.0.1", self.store.port, is_master=False)
                found.append(ranks.follow(Ranks(1, 2), Channel(store), "json"))
            except Exception as error:
                found.append(error)

        thread = threading.Thread(target=target, daemon=True)
        thread.start()

        def ended() -> Any:
            thread.join(30)
            assert not thread.is_alive(), "it hangs"
            return found[0]

        return ended


@pytest.mark.parametrize("code", [0, 2])
def test_followers_end_with_the_exit_code_of_rank_0(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Such as 2 of a refusal before anything was done together."""
    threads = Threads(monkeypatch)
    ended = threads.follow()
    assert ranks.lead(lambda: code, Channel(threads.store)) == code and ended() == code


def test_followers_end_by_1_when_rank_0_has_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads(monkeypatch)
    ended = threads.follow()
    with pytest.raises(ZeroDivisionError):
        ranks.lead(lambda: 1 // 0, Channel(threads.store))
    assert ended() == 1 and Channel.to_followers is None


def test_followers_do_what_rank_0_calls_without_what_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, done = Threads(monkeypatch), []

    def work(ranks: Ranks, number: int, own: str = "none") -> None:
        done.append((ranks.rank, number, own))

    def command() -> int:
        ranks.together(work, 5, own="mine")
        return 0

    ended = threads.follow()
    ranks.lead(command, Channel(threads.store))
    assert ended() == 0 and sorted(done) == [(0, 5, "mine"), (1, 5, "none")]


@pytest.mark.parametrize("fails", [True, False])
def test_a_follower_fails_silently_only_where_rank_0_does(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    threads, told = Threads(monkeypatch), threading.Event()

    def work(ranks: Ranks) -> None:
        if ranks.rank == 1 or fails:
            raise Refused("the loss is no longer finite")
        told.wait(30)

    def command() -> int:
        try:
            ranks.together(work)
        except Refused:
            return 2
        return 0

    ended = threads.follow()
    leader = threading.Thread(target=lambda: ranks.lead(command, Channel(threads.store)), daemon=True)
    leader.start()
    said = ended()
    told.set()
    leader.join(30)
    assert said == 2 if fails else isinstance(said, Refused)


def test_a_process_of_torchrun_has_a_device_of_its_own(launched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append(device))
    chosen: list[torch.device] = []
    second = torch.device("cuda", 1)
    assert devices.resolve("auto") == devices.resolve("cuda") == second
    assert devices.of_this_rank(torch.device("cuda", 0)) == second == chosen[0]
    assert devices.of_this_rank(torch.device("cpu")) == devices.resolve("cpu") == torch.device("cpu")
    for name in ("cuda:0", "mps"):
        with pytest.raises(Refused, match=f"device={name}: each process of torchrun has a device of its own"):
            devices.resolve(name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Refused, match="device=cuda: 2 processes, but this machine has 1 CUDA devices"):
        devices.resolve("auto")


def test_without_torchrun_the_device_is_the_one_that_is_named() -> None:
    assert devices.of_this_rank(torch.device("meta")) == torch.device("meta")
