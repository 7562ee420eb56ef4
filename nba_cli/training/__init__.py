"""Training: its plan, the only loop, what it tells while it runs, and what a trained network says of images."""

from nba_cli.training.ascent import ascend
from nba_cli.training.compiling import Compiling
from nba_cli.training.descent import Partner
from nba_cli.training.inference import accuracy, batch_size, predict, share_equal
from nba_cli.training.loop import Augmentation, Objective, cross_entropy, fit
from nba_cli.training.plan import Optimizer, Plan, Schedule
from nba_cli.training.progress import Event, Progress, Snapshot, silent

__all__ = [
    "Augmentation",
    "Compiling",
    "Event",
    "Objective",
    "Optimizer",
    "Partner",
    "Plan",
    "Progress",
    "Schedule",
    "Snapshot",
    "accuracy",
    "ascend",
    "batch_size",
    "cross_entropy",
    "fit",
    "predict",
    "share_equal",
    "silent",
]
