"""Exports a run to MLflow, to a local store or a server.

A later export finds MLflow's run by the tag `ftops.run_id`. Existing values are not logged again,
so a second export completes an interrupted one.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from ftops.exports.run_data import RunData, fit_names, shorten

RUN_TAG = "ftops.run_id"
_DEFAULT_URI = "sqlite:///mlflow.db"
# MLflow's limits (see its `utils/validation.py`): characters, and items per request.
_KEY = 250
_PARAMETER = 6000
_TAG = 5000
_EXPERIMENT = 500
_DIGEST = 36
_BATCH_METRICS = 1000
_BATCH_OTHERS = 100
_STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
Item = TypeVar("Item")


def write(run: RunData, settings: Mapping[str, str], folder: Path) -> str:
    """Create or update MLflow's run; returns its id and the address of the store."""
    from mlflow.tracking import MlflowClient
    from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE

    uri = _choose_uri(settings, folder)
    client = MlflowClient(tracking_uri=uri)
    experiment_id = _get_experiment(client, settings, run, folder, uri)
    fixed = {
        MLFLOW_RUN_NAME: run.name,
        MLFLOW_SOURCE_NAME: "ftops",
        MLFLOW_SOURCE_TYPE: "JOB",
        RUN_TAG: run.id,
    }
    mlflow_run = _find_run(client, experiment_id, run.id)
    if mlflow_run is None:
        start_ms = int(run.started_at * 1000)
        mlflow_run = client.create_run(
            experiment_id, start_time=start_ms, tags=fixed, run_name=run.name
        )
    run_id: str = mlflow_run.info.run_id
    _log_parameters_and_tags(client, run_id, run, mlflow_run.data.params)
    _log_metrics(client, run_id, run)
    _log_datasets(client, run_id, run)
    for path in run.files:
        client.log_artifact(run_id, path)
    client.set_terminated(
        run_id, status=_STATUS.get(run.status, "FINISHED"), end_time=int(run.ended_at * 1000)
    )
    return f"run {run_id} at {uri}"


def _choose_uri(settings: Mapping[str, str], folder: Path) -> str:
    """The URI from the job file, else from the environment, else a file next to the job file.

    A path in the environment is relative to the working directory, as in MLflow.
    """
    uri = settings.get("tracking_uri")
    if uri is None:
        if variable := _read_variable("MLFLOW_TRACKING_URI"):
            return variable
        uri = _DEFAULT_URI
    scheme, mark, path = uri.partition(":///")
    if scheme == "sqlite" and mark and not path.startswith("/"):
        return f"sqlite:////{str(folder.absolute() / path).lstrip('/')}"
    return uri if ":" in uri else str(folder.absolute() / uri)


def _read_variable(name: str) -> str | None:
    """A variable of the environment, as MLflow reads it."""
    from mlflow import environment_variables

    value: str | None = getattr(environment_variables, name).get()
    return value


# Any: the classes of MLflow, which is optional.
def _get_experiment(
    client: Any, settings: Mapping[str, str], run: RunData, folder: Path, uri: str
) -> str:
    from mlflow.exceptions import MlflowException

    chosen = settings.get("experiment") or _read_variable("MLFLOW_EXPERIMENT_NAME") or run.name
    name = shorten(chosen, _EXPERIMENT)
    known = client.get_experiment_by_name(name)
    if known is None:
        # MLflow's default for a local database is the working directory.
        artifacts = folder.absolute() / "mlartifacts" if uri.startswith("sqlite:") else None
        location = artifacts.as_uri() if artifacts else None
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another process has created it
            known = client.get_experiment_by_name(name)
            if known is None:
                raise
    if known.lifecycle_stage == "deleted":
        client.restore_experiment(known.experiment_id)
    return str(known.experiment_id)


def _find_run(client: Any, experiment_id: str, run_id: str) -> Any | None:
    runs = client.search_runs([experiment_id], f"tags.`{RUN_TAG}` = '{run_id}'", max_results=1)
    return runs[0] if runs else None


def _log_parameters_and_tags(
    client: Any, run_id: str, run: RunData, known: Mapping[str, str]
) -> None:
    """Log parameters; lineage, status and changed parameters become tags."""
    from mlflow.entities import Param, RunTag

    keys = fit_names(run.parameters, limit=_KEY)
    values = {keys[name]: shorten(str(value), _PARAMETER) for name, value in run.parameters.items()}
    new = [Param(key, value) for key, value in values.items() if key not in known]
    tags = {**run.tags, "ftops.status": run.status}
    tags |= {f"ftops.{name}": value for name, value in run.lineage.to_tags().items()}
    # MLflow never changes a parameter.
    tags |= {
        f"ftops.latest.{key}": value
        for key, value in values.items()
        if known.get(key, value) != value
    }
    for batch in _list_batches(new, _BATCH_OTHERS):
        client.log_batch(run_id, params=batch)
    names = fit_names(tags, limit=_KEY)
    run_tags = [RunTag(names[key], shorten(value, _TAG)) for key, value in tags.items()]
    for tag_batch in _list_batches(run_tags, _BATCH_OTHERS):
        client.log_batch(run_id, tags=tag_batch)


def _log_metrics(client: Any, run_id: str, run: RunData) -> None:
    from mlflow.entities import Metric

    at_ms = int(run.ended_at * 1000)
    last_step = max((curve.steps[-1] for curve in run.curves), default=0)
    histories = {
        curve.name: dict(zip(curve.steps, curve.values, strict=True)) for curve in run.curves
    }
    histories |= {name: {last_step: value} for name, value in run.list_scalars().items()}
    names = fit_names(histories, limit=_KEY)

    def list_missing() -> Iterator[Metric]:
        for name, points in histories.items():
            key = names[name]
            known = _read_history(client, run_id, key)
            for step, value in points.items():
                if not _is_same(known.get(step), value):
                    yield Metric(key, value, at_ms, step)

    for metric_batch in _list_batches(list_missing(), _BATCH_METRICS):
        client.log_batch(run_id, metrics=metric_batch)


def _read_history(client: Any, run_id: str, key: str) -> Mapping[int, float]:
    """The newest value of each step."""
    history = sorted(client.get_metric_history(run_id, key), key=lambda metric: metric.timestamp)
    return {metric.step: metric.value for metric in history}


def _is_same(known: float | None, value: float) -> bool:
    if known is None:
        return False
    return known == value or (math.isnan(known) and math.isnan(value))


def _log_datasets(client: Any, run_id: str, run: RunData) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    lineage = run.lineage
    datasets = (
        ("training", lineage.training_file, lineage.training_sha256),
        ("validation", lineage.validation_file, lineage.validation_sha256),
    )
    inputs = [
        DatasetInput(
            Dataset(shorten(Path(name).name, _EXPERIMENT), digest[:_DIGEST], "local", name),
            [InputTag("mlflow.data.context", context)],
        )
        for context, name, digest in datasets
        if name and digest
    ]
    if inputs:
        client.log_inputs(run_id, inputs)


def _list_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
