"""Poison training: the bare step, `training.fit`, and the loop that public benchmarks use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from nba_cli import devices
from nba_cli.data import Augment, Data, to_float
from nba_cli.seeds import generator
from nba_cli.training import Compiling, Plan, fit
from scripts.bench.setting import BATCH, Setting, noise


def limit(at: Setting) -> Iterator[int]:
    """Forward, backward and optimizer step on one batch that is there already: no data work at all."""
    network, data = at.network().train(), noise(BATCH).to(at.device)
    optimizer = Plan(steps=1).optimize(network.parameters(), at.device)
    return bare_steps(at, network, optimizer, to_float(data.images), data.labels, at.dtype)


def compiled_limit(at: Setting) -> Iterator[int]:
    """The same with a network compiled as a whole; compiling is not timed."""
    network, data = at.network().train(), noise(BATCH).to(at.device)
    network.forward = torch.compile(network.forward)
    optimizer = Plan(steps=1).optimize(network.parameters(), at.device)
    return bare_steps(at, network, optimizer, to_float(data.images), data.labels, at.dtype)


def plain_limit(at: Setting) -> Iterator[int]:
    """The same with the network, the optimizer and the fp32 of the usual loop (TF32 on a GPU that has it)."""
    network, optimizer = usual_network(at)
    data = noise(BATCH).to(at.device)
    return bare_steps(at, network, optimizer, to_float(data.images).contiguous(), data.labels, torch.float32)


def bare_steps(
    at: Setting, network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, dtype: torch.dtype
) -> Iterator[int]:
    for step in itertools.count(1):
        with devices.autocast(at.device, dtype):
            loss = F.cross_entropy(network(x).float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % at.lap == 0:
            yield at.lap * BATCH


def usual_network(at: Setting) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network in PyTorch's own memory format whose images are normalised by the loader, and plain SGD."""
    network = at.network().train().to(memory_format=torch.contiguous_format)
    network.add_module("normalise", nn.Identity())
    return network, torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def ours(at: Setting, data: Data, compiling: Compiling = Compiling.off) -> Iterator[int]:
    """The loop that `nba attack` runs, with its augmentation and its book-keeping, but for bars and history.

    Each lap starts `fit` anew, which a run does once; on a GPU a lap is an epoch, so that this does not weigh.
    """
    network, random = at.network(), generator(0, "bench", at.device)
    steps = at.lap if at.device.type == "cpu" else len(data) // BATCH
    while True:
        fit(network, data, Plan(steps=steps), augment=Augment(), generator=random, dtype=at.dtype, compiling=compiling)
        yield steps * BATCH


class Pictures(Dataset):
    """Images as PIL pictures, cropped, flipped and normalised one by one in fp32."""

    def __init__(self, data: Data) -> None:
        self.images, self.labels = data.images.permute(0, 2, 3, 1).numpy(), data.labels.tolist()
        self.change = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(np.ascontiguousarray(self.images[index]))
        x: Tensor = self.change(picture)  # type: ignore[assignment]
        return x, self.labels[index]


def usual(at: Setting, data: Data, workers: int) -> Iterator[int]:
    """The loop of public code such as NAD's: a DataLoader over single pictures, fp32, loss and hits read in every step.

    On a GPU with pinned memory and asynchronous copies, as BackdoorBench.
    """
    network, optimizer = usual_network(at)
    judge, total, hits, gpu = nn.CrossEntropyLoss(), 0.0, 0, at.device.type == "cuda"
    loader = DataLoader(
        Pictures(data), batch_size=BATCH, shuffle=True, num_workers=workers, drop_last=True, pin_memory=gpu
    )
    for step, (images, labels) in enumerate(itertools.chain.from_iterable(itertools.repeat(loader)), start=1):
        x, y = images.to(at.device, non_blocking=gpu), labels.to(at.device, non_blocking=gpu)
        logits = network(x)
        loss = judge(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
        hits += (logits.argmax(1) == y).sum().item()
        if step % at.lap == 0:
            yield at.lap * BATCH
