"""ARGD: attention relation graph distillation (Xia, Wang, Ding, Wei & Chen, IJCAI 2022, arXiv:2204.09975)."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nba_cli import devices, domains
from nba_cli.defenses._attention import unit, weighted
from nba_cli.defenses._cutout import with_cutout
from nba_cli.defenses._teacher import fine_tuned
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.errors import Refused
from nba_cli.seeds import derive
from nba_cli.training import Partner, Plan, Progress, Schedule, fit, silent
from nba_cli.victims import Network


class Embedding(nn.Module):
    """One vector a graph: each node mapped linearly, plus its neighbours weighed by their edges."""

    def __init__(self, sizes: list[int], width: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList([nn.Linear(size, width) for size in sizes])

    def forward(self, nodes: list[Tensor], edges: Tensor) -> Tensor:
        mapped = [layer(node) for layer, node in zip(self.maps, nodes, strict=True)]  # [N,D] each
        summed = list(mapped)
        for k, (i, j) in enumerate(itertools.combinations(range(len(mapped)), 2)):
            tie = edges[:, k : k + 1]
            summed[i], summed[j] = summed[i] + tie * mapped[j], summed[j] + tie * mapped[i]
        return F.normalize(torch.cat(summed, dim=1), dim=1)


@dataclass(kw_only=True)
class ARGD(Defense):
    """min_S CE + node + edge mean_pairs (E(S) - E(T))^2 + embed |g(S) - g(T)|^2, over attention relation graphs.

    Nodes: attention maps of the last stages, compared as in NAD. Edges E, one a pair of stages: the squared distance
    between the two maps of a sample, the larger one pooled to the other's size, divided by the largest such
    distance in the batch. Ours: the embedding g, a learned vector of nodes and edges (the authors attend from each
    teacher stage to all student stages), and its scale: |g(S) - g(T)|^2 is up to 4, theirs, a mean over positions,
    a hundredth of that. Both are small beside the nodes. As theirs, student and teacher train on images in which a
    square is blacked out; ours covers all of `cutout` pixels a side (theirs of 3 covers 2x2). Teacher T: the
    suspect model fine-tuned on the clean set, then frozen. The authors' node weights 2000, 5000, 2000 average over
    positions; summed, as here, they become 2, 20, 31. The embeddings are trained with the student (in public code
    their parameters never reach the optimizer). Cost a step: one teacher pass forward, one student pass forward and
    backward.

    Ours: the schedule, with a rate of 0.05. The authors' code trains for ten epochs with batches of 64 and a weight
    decay of 1e-4, at a rate of 0.1 for three, 0.01 for three and 0.001 for four; on the development victims (CIFAR-10,
    WRN-16-1, seed 0) the student never recovers from the first three: its ACC is 39 to 51 %.

    Fields:
        weights: weights of the nodes, deepest last
        edge: weight of the edges
        embed: weight of the embedding
        width: length of a node's embedding
        cutout: side in pixels of the square that is blacked out in each image; 0: none
        teacher: how long and how hard to fine-tune the teacher
        student: how long and how hard to distil the student
    """

    version: ClassVar[int] = 5

    weights: list[float] = domains.within([2.0, 20.0, 31.0], "[0,inf)")
    edge: float = domains.within(1.0, "[0,inf)")
    embed: float = domains.within(1.0, "[0,inf)")
    width: int = domains.within(32, "[1,4096]")
    cutout: int = domains.within(3, "[0,4096]")
    teacher: Plan = field(default_factory=lambda: Plan(steps=200, lr=0.05, schedule=Schedule.cosine))
    student: Plan = field(default_factory=lambda: Plan(steps=400, lr=0.05, schedule=Schedule.cosine))

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.weights) < 2:
            raise Refused(f"defense.weights={self.weights}: two weights or more, because edges join two stages.")

    def backward_images(self, clean: int) -> float:
        return self.teacher.images(clean) + self.student.images(clean)

    def __call__(self, evidence: Evidence, generator: torch.Generator, progress: Progress = silent) -> Network:
        common = evidence.training(generator, progress)
        common["augment"] = with_cutout(common["augment"], self.cutout)
        teacher = fine_tuned(evidence, self.teacher, common)
        embedding = self.embedding(teacher, evidence, generator)

        def objective(student: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                taught, _ = teacher.features(x)
            stages, logits = student.features(x)
            with devices.exact(x.device):
                ours, theirs = (self.graph(maps) for maps in (stages, taught))
                nodes = weighted(ours[0], theirs[0], self.weights[-len(ours[0]) :])
                loss = F.cross_entropy(logits.float(), y) + nodes + self.edge * F.mse_loss(ours[1], theirs[1])
                apart = (embedding(*ours) - embedding(*theirs)).square().sum(1).mean()
            return loss + self.embed * apart, logits

        partner = Partner(embedding, torch.optim.SGD(embedding.parameters(), self.student.lr, 0.9))
        model = copy.deepcopy(evidence.model)
        return fit(model, evidence.clean, self.student, objective, phase="student", partner=partner, **common)

    def graph(self, stages: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Nodes (attention maps of unit norm, [N,H_l W_l] each) and edges ([N] a pair of stages, as [N,L(L-1)/2])."""
        last = stages[-len(self.weights) :]
        maps = [unit(stage.float().square().sum(1)).view(len(stage), 1, *stage.shape[2:]) for stage in last]
        edges = []
        for large, small in itertools.combinations(maps, 2):  # from shallow to deep, maps shrink
            pooled = F.adaptive_avg_pool2d(large, (small.shape[2], small.shape[3]))
            apart = (pooled - small).square().sum((1, 2, 3))
            edges.append(apart / apart.amax().clamp_min(1e-12))
        return [m.flatten(1) for m in maps], torch.stack(edges, dim=1)

    def embedding(self, network: Network, evidence: Evidence, generator: torch.Generator) -> Embedding:
        """A fresh embedding for the maps of `network`, on its device."""
        device = next(network.parameters()).device
        with torch.no_grad():
            nodes, _ = self.graph(network.features(evidence.clean.images[:1].to(device).float() / 255)[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(generator.initial_seed(), "embedding"))
            return Embedding([node.shape[1] for node in nodes], self.width).to(device)
