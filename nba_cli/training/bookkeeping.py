"""What is written down while a training runs: loss, accuracy, time, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from nba_cli.errors import Refused
from nba_cli.ranks import ALONE, Ranks
from nba_cli.training.progress import Event, Progress, Snapshot

FETCH_EVERY = 20  # steps between reads of the losses that accumulate on the device


class Tally:
    """Mean loss and accuracy of an epoch so far, on this rank. They add up on the device: only `read` waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.loss, self.hits, self.seen = torch.zeros((), device=device), torch.zeros((), device=device), 0

    def add(self, loss: Tensor, logits: Tensor, y: Tensor) -> None:
        self.loss += loss.detach() * len(y)
        self.hits += (logits.detach().argmax(1) == y).sum()
        self.seen += len(y)

    def read(self, ranks: Ranks) -> dict[str, float]:
        """Of all ranks."""
        sums = torch.stack([self.loss, self.hits, torch.full_like(self.loss, self.seen)])
        loss, hits, seen = ranks.sum(sums).tolist()
        return {"loss": loss / seen, "acc": hits / seen}


class Books:
    """Counts the steps of a training, reports its progress, and saves a checkpoint at the end of each epoch.

    `lr` is the peak learning rate, `option` the path of its plan, such as train; empty: no option sets it. `seconds`
    were spent before an interruption. `save(step, seconds)` writes the checkpoint; None: there is none. Loss and
    accuracy are those of all `ranks`.
    """

    def __init__(
        self,
        phase: str,
        lr: float,
        total: int,
        per_epoch: int,
        progress: Progress,
        weights: Snapshot,
        seconds: float = 0.0,
        save: Callable[[int, float], None] | None = None,
        ranks: Ranks = ALONE,
        option: str = "",
    ) -> None:
        self.phase, self.lr, self.total, self.per_epoch, self.option = phase, lr, total, per_epoch, option
        self.progress, self.weights, self.save, self.ranks = progress, weights, save, ranks
        self.began = time.monotonic() - seconds

    def note(self, step: int, loss: Tensor, logits: Tensor, y: Tensor, rate: float, *, counts: bool = True) -> None:
        """Note step `step`, counted from 0, taken at the share `rate` of the peak learning rate.

        Unless it `counts`, another rank notes the same images.

        Raises:
            Refused: the loss is no longer finite.
        """
        if step % self.per_epoch == 0:
            self.tally = Tally(loss.device)
        if counts:
            self.tally.add(loss, logits, y)
        done = step + 1
        ended = done % self.per_epoch == 0 or done == self.total
        if not ended and done % FETCH_EVERY:
            self.progress(Event(self.phase, done, self.total))
            return
        scalars = self.tally.read(self.ranks)
        if not math.isfinite(scalars["loss"]):
            advice = f" Lower {self.option}.lr={self.lr:g}, or set {self.option}.clip=1." if self.option else ""
            raise Refused(f"{self.phase}: the loss is no longer finite at step {done} of {self.total}.{advice}")
        if not ended:
            self.progress(Event(self.phase, done, self.total, scalars))
            return
        seconds = time.monotonic() - self.began
        scalars |= {"epoch": step // self.per_epoch + 1, "lr": self.lr * rate, "seconds": seconds}
        self.progress(Event(self.phase, done, self.total, scalars, self.weights))
        if self.save:  # after the progress: a line too many is dropped on resume, a missing one is lost
            self.save(done, seconds)
