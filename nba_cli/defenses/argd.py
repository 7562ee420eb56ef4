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
from nba_cli.defenses._attention import attention, unit, weighted
from nba_cli.defenses._cutout import with_cutout
from nba_cli.defenses._teacher import fine_tuned
from nba_cli.defenses.base import Defense, Evidence
from nba_cli.errors import Refused
from nba_cli.seeds import derive
from nba_cli.training import Objective, Partner, Plan, Progress, Schedule, fit, silent
from nba_cli.victims import Network


class Embedding(nn.Module):
    """How far each of the teacher's maps is from all of the student's, weighed by a learned attention.

    After Ji, Heo & Park, "Show, attend and distill" (AAAI 2021), as the authors' riman_distance.py has it:
    attention is computed from the mean of each map; the squared maps are compared.
    """

    def __init__(self, stages: int, width: int) -> None:
        super().__init__()
        self.queries = nn.ModuleList([nn.Linear(1, width) for _ in range(stages)])
        self.keys = nn.ModuleList([nn.Linear(1, width) for _ in range(stages)])
        self.bilinear = nn.Linear(width, stages * width)
        self.places = nn.ParameterList([nn.init.xavier_normal_(torch.empty(stages, width)) for _ in range(2)])

    def forward(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """Maps [N,1,H_l,W_l] of both -> sum_t sum_s a_ts mean_positions (v_s - v_t)^2, mean over samples: a scalar."""
        distances = torch.stack([torch.stack([distance(m, t) for m in student], dim=1) for t in teacher], dim=1)
        return (self.attention(student, teacher) * distances).sum((1, 2)).mean()

    def attention(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """[N,T,S]: how much of the student's stage s belongs to the teacher's stage t; rows sum to 1."""
        queries = looks(self.queries, teacher)  # [N,T,D]
        keys = looks(self.keys, student).relu()  # [N,S,D]
        count, stages, width = keys.shape
        keys = standard(self.bilinear(keys.flatten(0, 1))).view(count, stages, stages, width)
        teacher_places, student_places = self.places
        logits = torch.einsum("nstd,ntd->nts", keys, queries) + teacher_places @ student_places.T
        return (logits / width**0.5).softmax(2)


def distance(student: Tensor, teacher: Tensor) -> Tensor:
    """[N]: mean squared difference of the squares of two maps, of unit norm; the student's gets the teacher's size."""
    pooled = F.adaptive_avg_pool2d(student.square(), (teacher.shape[2], teacher.shape[3]))
    return (unit(pooled) - unit(teacher.square())).square().mean(1)


def looks(layers: nn.ModuleList, maps: list[Tensor]) -> Tensor:
    """A vector for each of the maps, from its mean over positions: [N,L,D]."""
    return torch.stack([standard(layer(m.mean((2, 3)))) for layer, m in zip(layers, maps, strict=True)], dim=1)


def standard(x: Tensor) -> Tensor:
    """[N,D] with mean 0 and variance 1 over the batch: batch norm that takes a single sample, too."""
    return (x - x.mean(0)) * (x.var(0, correction=0) + 1e-5).rsqrt()


@dataclass(kw_only=True)
class ARGD(Defense):
    """min_S CE + node + edge mean_pairs (E(S) - E(T))^2 + embed g(S, T), over attention relation graphs.

    Nodes: attention maps of the last stages, compared as in NAD. Edges E, one a pair of stages: the squared distance
    between the two maps of a sample, the larger one pooled to the other's size, divided by the largest such
    distance in the batch. Embedding g: each of the teacher's maps beside all of the student's (`Embedding`), small
    beside the nodes. Teacher T: the suspect model fine-tuned on the clean set, then frozen. As theirs, student and
    teacher train on images in which a square is blacked out; ours covers all of `cutout` pixels a side (theirs of 3
    covers 2x2). The authors' node weights 2000, 5000, 2000 average over positions; summed, as here, they become 2, 20,
    31. The embedding is trained with the student, as the paper has it (in public code its parameters never reach the
    optimizer), by SGD with momentum 0.9 at the student's rate, and its batch norms have no scale and shift. Cost a
    step: one teacher pass forward, one student pass forward and backward.

    Ours: the schedule, with a rate of 0.05. The authors' code trains for ten epochs with batches of 64 and a weight
    decay of 1e-4, at a rate of 0.1 for three, 0.01 for three and 0.001 for four; on the development victims (CIFAR-10,
    WRN-16-1, seed 100) the student never recovers from the first three: its ACC is 36 and 43 % (results/selection).

    Fields:
        weights: weights of the nodes, deepest last
        edge: weight of the edges
        embed: weight of the embedding
        width: length of the vectors by which attention is paid
        cutout: side in pixels of the square that is blacked out in each image; 0: none
        teacher: how long and how hard to fine-tune the teacher
        student: how long and how hard to distil the student
    """

    version: ClassVar[int] = 6

    weights: list[float] = domains.within([2.0, 20.0, 31.0], "[0,inf)")
    edge: float = domains.within(1.0, "[0,inf)")
    embed: float = domains.within(1.0, "[0,inf)")
    width: int = domains.within(128, "[1,4096]")
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

        partner = Partner(embedding, torch.optim.SGD(embedding.parameters(), self.student.lr, 0.9))
        model, objective = copy.deepcopy(evidence.model), self.objective(teacher, embedding)
        return fit(
            model,
            evidence.clean,
            self.student,
            objective,
            phase="student",
            option="defense.student",
            partner=partner,
            **common,
        )

    def objective(self, teacher: Network, embedding: Embedding) -> Objective:
        """What a student minimises on a batch, as above."""

        def loss(student: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                taught, _ = teacher.features(x)
            stages, logits = student.features(x)
            with devices.exact(x.device):
                ours, theirs = self.nodes(stages), self.nodes(taught)
                found = F.cross_entropy(logits.float(), y) + weighted(ours, theirs, self.weights[-len(ours) :])
                found = found + self.edge * F.mse_loss(edges(ours), edges(theirs))
                return found + self.embed * embedding(ours, theirs), logits

        return loss

    def nodes(self, stages: list[Tensor]) -> list[Tensor]:
        """Attention maps of the last stages, as many as there are weights, of unit norm: [N,1,H_l,W_l] each."""
        last = stages[-len(self.weights) :]
        return [flat.view(-1, 1, *stage.shape[2:]) for stage, flat in zip(last, attention(last), strict=True)]

    def embedding(self, network: Network, evidence: Evidence, generator: torch.Generator) -> Embedding:
        """A fresh embedding for the maps of `network`, on its device."""
        device = next(network.parameters()).device
        with torch.no_grad():
            maps, _ = network.features(evidence.clean.images[:1].to(device).float() / 255)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(generator.initial_seed(), "embedding"))
            return Embedding(len(self.nodes(maps)), self.width).to(device)


def edges(nodes: list[Tensor]) -> Tensor:
    """[N,L(L-1)/2]: how far apart the maps of each pair of stages are, the farthest in the batch being 1."""
    found = []
    for large, small in itertools.combinations(nodes, 2):  # from shallow to deep, maps shrink
        pooled = F.adaptive_avg_pool2d(large, (small.shape[2], small.shape[3]))
        squared = (pooled - small).square().sum((1, 2, 3))
        found.append(squared / squared.amax().clamp_min(1e-12))
    return torch.stack(found, dim=1)
