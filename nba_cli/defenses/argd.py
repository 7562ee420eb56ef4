"""ARGD: attention relation graph distillation (Xia, Wang, Ding, Wei & Chen, IJCAI 2022, arXiv:2204.09975)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nba_cli import devices
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.defenses.nad import attention_distance
from nba_cli.errors import Refused
from nba_cli.plan import Plan, Schedule
from nba_cli.seeds import derive
from nba_cli.train import Partner, Report, fit, silent
from nba_cli.victims import Network


class Embedding(nn.Module):
    """One vector a graph: each node mapped linearly, summed with the nodes it is tied to by its edges."""

    def __init__(self, sizes: list[int], width: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList([nn.Linear(size, width) for size in sizes])

    def forward(self, nodes: list[Tensor], edges: Tensor) -> Tensor:
        mapped = torch.stack([layer(node) for layer, node in zip(self.maps, nodes, strict=True)], dim=1)  # [N,L,D]
        return F.normalize((mapped + edges @ mapped).flatten(1), dim=1)


@dataclass(kw_only=True)
class ARGD(Defense):
    """min_S CE + node + edge * |E(S) - E(T)|^2 + embed * |g(S) - g(T)|^2, over attention relation graphs.

    Nodes: attention maps of the last stages, compared as in NAD. Edges E: squared distances between the maps of a
    sample, pooled to the smallest of them, for every pair of stages, divided by the largest one in the batch.
    Embedding g: a learned vector of nodes and edges. Teacher T: the suspect model fine-tuned on the clean set, then
    frozen. The authors' node weights 2000, 5000, 2000 average over positions; summed, as here, they read 2, 20 and 31.
    The embeddings are trained with the student (in public code their parameters never reach the optimizer). Cost a
    step: one teacher pass forward, one student pass forward and backward.

    The learning rate was chosen on a development victim (CIFAR-10, WRN-16-1, badnets, seed 100): 0.05 left ASR 47, 0.01
    left it at 100.

    Fields:
        weights: weights of the nodes, deepest last
        edge: weight of the edges
        embed: weight of the embedding
        width: length of a node's embedding
        teacher: how long and how hard to fine-tune the teacher
        student: how long and how hard to distil the student
    """

    version: ClassVar[int] = 2

    weights: list[float] = field(default_factory=lambda: [2.0, 20.0, 31.0])
    edge: float = 1.0
    embed: float = 1.0
    width: int = 32
    teacher: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.05, schedule=Schedule.cosine))
    student: Plan = field(default_factory=lambda: Plan(steps=400, lr=0.05, schedule=Schedule.cosine))

    def __post_init__(self) -> None:
        if not self.weights or min(*self.weights, self.edge, self.embed) < 0 or self.width < 1:
            raise Refused(
                f"defense.weights={self.weights}, edge={self.edge}, embed={self.embed}, width={self.width}: "
                "weights are 0 or more, width 1 or more."
            )

    def __call__(self, evidence: Evidence, generator: torch.Generator, report: Report = silent) -> Network:
        common = evidence.training(generator, report)
        teacher = fit(copy.deepcopy(evidence.model), evidence.clean, self.teacher, phase="teacher", **common)
        teacher.eval().requires_grad_(False)
        embedding = self.embedding(teacher, evidence, generator)

        def objective(student: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                taught, _ = teacher.features(x)
            stages, logits = student.features(x)
            loss = F.cross_entropy(logits.float(), y) + attention_distance(stages, taught, self.weights)
            with devices.exact(x.device):
                ours, theirs = (self.graph(maps) for maps in (stages, taught))
                loss = loss + self.edge * (ours[1] - theirs[1]).square().sum((1, 2)).mean()
                apart = (embedding(*ours) - embedding(*theirs)).square().sum(1).mean()
            return loss + self.embed * apart, logits

        partner = Partner(embedding, torch.optim.SGD(embedding.parameters(), self.student.lr, 0.9))
        model = copy.deepcopy(evidence.model)
        return fit(model, evidence.clean, self.student, objective, phase="student", partner=partner, **common)

    def graph(self, stages: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Nodes (attention maps of unit norm pooled to the smallest, [N,P] each) and edges [N,L,L] of a batch."""
        last = stages[-len(self.weights) :]
        size = (min(stage.shape[2] for stage in last), min(stage.shape[3] for stage in last))
        maps = [F.adaptive_avg_pool2d(stage.float().square().sum(1, keepdim=True), size).flatten(1) for stage in last]
        nodes = [F.normalize(m, dim=1) for m in maps]
        stacked = torch.stack(nodes, dim=1)
        edges = (stacked[:, :, None] - stacked[:, None, :]).square().sum(3)
        return nodes, edges / edges.amax().clamp_min(1e-12)

    def embedding(self, network: Network, evidence: Evidence, generator: torch.Generator) -> Embedding:
        """A fresh embedding for the maps of `network`, on its device."""
        device = next(network.parameters()).device
        with torch.no_grad():
            nodes, _ = self.graph(network.features(evidence.clean.images[:1].to(device).float() / 255)[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(generator.initial_seed(), "embedding"))
            return Embedding([node.shape[1] for node in nodes], self.width).to(device)
