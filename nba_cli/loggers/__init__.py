"""Loggers by name. A new one is a file, a YAML in conf/logger/ and a line here."""

from nba_cli.loggers.base import Logger, Session, Subject
from nba_cli.loggers.mlflow import MLflow
from nba_cli.loggers.tensorboard import TensorBoard
from nba_cli.loggers.wandb import WandB

LOGGERS: dict[str, type[Logger]] = {
    "none": Logger,
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
}

__all__ = ["LOGGERS", "Logger", "MLflow", "Session", "Subject", "TensorBoard", "WandB"]
