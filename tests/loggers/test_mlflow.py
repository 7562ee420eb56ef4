"""MLflow with a local store, read back by its client. Needs pip install -e '.[mlflow]'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from running import SHORT, interrupt, metrics, results

mlflow = pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

QUICK = (*SHORT, "train.epochs=3", "logger=mlflow")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def runs(uri: str, experiment: str) -> tuple[Any, list[Any]]:
    """The client, and the runs of an experiment, the newest first."""
    client = mlflow.MlflowClient(tracking_uri=uri)
    return client, client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def test_a_resumed_run_goes_on_and_an_overwritten_one_is_another(
    nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        assert nba("attack", *QUICK, "logger.group=ours")[0] == 130
    _, (run,) = runs(uri, "nba")
    assert run.info.status == "FAILED" and run.data.params["train.epochs"] == "3.0"
    assert nba("attack", *QUICK, "reference=true", "device=cpu")[0] == 0, "another device is another parameter"
    client, found = runs(uri, "nba")
    (out,) = [each for each in results(tmp_path, "attack") if "badnets" in each.name]
    (run,) = [each for each in found if each.info.run_name == f"attack/{out.name}"]
    assert len(found) == 2, "the clean victim beside it has its own"
    assert run.info.status == "FINISHED" and run.data.tags["nba.number"] == (out / "logger").read_text()
    assert {
        "attack": "badnets",
        "victim": "wrn_10_1",
        "stage": "attack",
        "nba.group": "ours",
    }.items() <= run.data.tags.items()
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    loss = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "victim/loss")]
    assert loss == [(line["step"], line["loss"]) for line in lines] and len(loss) == 3
    record = metrics(out)
    assert run.data.metrics["figures.asr"] == record["figures"]["asr"]
    assert run.data.metrics["reference.ra"] == record["reference"]["ra"]
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"config.yaml", "trigger.png"}
    assert nba("attack", *QUICK, "reference=true", "overwrite=true")[0] == 0
    assert len(runs(uri, "nba")[1]) == 3


def test_store_and_experiment_are_options(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where MLflow puts the artifacts of a store that names no place for them
    uri = f"sqlite:///{tmp_path}/other.db"
    assert nba("attack", *QUICK, "train.epochs=1", f"logger.uri={uri}", "logger.experiment=mine")[0] == 0
    (out,) = results(tmp_path, "attack")
    assert [run.info.run_name for run in runs(uri, "mine")[1]] == [f"attack/{out.name}"]
    assert not (tmp_path / "runs/mlflow.db").exists()


def test_a_server_that_is_not_there_refuses_the_run(nba: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    code, text = nba("attack", *QUICK, "logger.uri=http://127.0.0.1:9")
    assert code == 2 and "nba: logger=mlflow: MlflowException: API request to http://127.0.0.1:9" in text
    assert not list((tmp_path / "runs/attack").iterdir())
