"""MLflow."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from nba_cli.loggers.base import Grouping, Session, Subject

NUMBER, GROUP = "nba.number", "nba.group"  # tags
LONGEST = 6000  # letters of a parameter; the store refuses longer ones


@dataclass(kw_only=True)
class MLflow(Grouping):
    """Fields:
    uri: the tracking server or store; null: $MLFLOW_TRACKING_URI, else `mlflow.db` in the folder of all runs
    experiment: the experiment; it is made when it is missing
    """

    package: ClassVar[str | None] = "mlflow"
    uri: str | None = None
    experiment: str = "nba"

    def open(self, subject: Subject) -> Session:
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # each table that it makes
        mlflow, root = import_module("mlflow"), subject.root.resolve()
        uri, artifacts = self.uri or os.environ.get("MLFLOW_TRACKING_URI"), None
        if uri is None:
            root.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{root}/mlflow.db", (root / "mlartifacts").as_uri()
        client = mlflow.MlflowClient(tracking_uri=uri)
        experiment = experiment_of(client, self.experiment, artifacts, mlflow.exceptions.MlflowException)
        same = client.search_runs([experiment], f"tags.`{NUMBER}` = '{subject.number}'", max_results=1)
        if same:
            run = same[0].info.run_id
            client.update_run(run, status="RUNNING")
        else:
            tags = {**subject.tags, NUMBER: subject.number} | ({GROUP: self.group} if self.group else {})
            run = client.create_run(experiment, run_name=subject.name, tags=tags).info.run_id
            params = [
                mlflow.entities.Param(name, str(value)[:LONGEST]) for name, value in subject.settings.items()
            ]  # not of a run that goes on: they cannot be changed
            client.log_batch(run, params=params)
            client.log_dict(run, dict(subject.config), "config.yaml")
        return MLflowSession(client, run, f"run {run} of experiment {self.experiment}", mlflow.entities.Metric)


def experiment_of(client: Any, name: str, artifacts: str | None, refusal: type[Exception]) -> str:
    """The id of an experiment, which is made if there is none."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifact_location=artifacts)
        except refusal:
            found = client.get_experiment_by_name(name)
            if found is None:  # else another job of the sweep has just made it
                raise
    return found.experiment_id


class MLflowSession(Session):
    """A run of MLflow, by its client: the module's functions know one run at a time."""

    def __init__(self, client: Any, run: str, place: str, metric: Any) -> None:
        self.client, self.run, self.place, self.metric = client, run, place, metric

    def scalars(self, phase: str, values: Mapping[str, float], step: int) -> None:
        self.log({f"{phase}/{name}": value for name, value in values.items()}, step)

    def end(self, figures: Mapping[str, float] | None, picture: Path | None) -> None:
        self.log(figures or {}, 0)
        if picture is not None:
            self.client.log_artifact(self.run, str(picture))
        self.client.set_terminated(self.run, "FINISHED" if figures is not None else "FAILED")

    def log(self, values: Mapping[str, float], step: int) -> None:
        now = time.time_ns() // 1_000_000
        self.client.log_batch(self.run, metrics=[self.metric(name, value, now, step) for name, value in values.items()])
