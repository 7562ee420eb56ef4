"""What NBA climbs to craft pseudo samples: how far the student misbehaves on them. All of it is ours."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from nba_cli.defenses.nba.behavior import Form, behave, distance
from nba_cli.victims import Network


def misbehavior(
    student: Network,
    teacher: Network,
    y: Tensor,
    taught: Sequence[Tensor],
    behavior: Sequence[Form],
    mu: float,
    resist: float,
    pseudo: Tensor,
    target: Tensor | None,
    rows: slice = slice(None),
) -> Tensor:
    """CE(S(x~), y) + mu d(B_S(x~), B_T(x)) - resist CE(T(x~), y), summed over x~: a scalar.

    `y` and `taught`, the teacher's stages on x, are those of the whole batch, of which x~ [N,C,H,W] are the `rows`.
    With a presumed target class int64 [N], the first term is -CE(S(x~), target).
    """
    stages, logits = student.features(pseudo)
    # sums, not means: in fp16 the gradient of a mean over the batch would underflow before its sign is taken
    if target is None:
        climb = F.cross_entropy(logits.float(), y[rows], reduction="sum")
    else:
        climb = -F.cross_entropy(logits.float(), target, reduction="sum")
    if mu and (wanted := behave([stage[rows] for stage in taught], behavior)):
        climb = climb + mu * len(pseudo) * distance(behave(stages, behavior), wanted)
    if resist:
        climb = climb - resist * F.cross_entropy(teacher(pseudo).float(), y[rows], reduction="sum")
    return climb
