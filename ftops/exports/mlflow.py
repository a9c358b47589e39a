"""Tells MLflow of a run: a local store, or whatever server its address names.

The only module that knows MLflow. The run there carries the tag `ftops.run_id`, by which it is
found again: what it has already is not told twice, so a second telling ends what a first one began.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from ftops.exports.naming import cut, fit_names
from ftops.exports.run_data import RunData

RUN_TAG = "ftops.run_id"
_DEFAULT_URI = "sqlite:///mlflow.db"
# What MLflow takes at most (its `utils/validation.py`): letters, and items of one request.
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
    """Bring MLflow's run of this run up to date; its id there, and where that is."""
    from mlflow.tracking import MlflowClient
    from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE

    uri = _find_uri(settings, folder)
    client = MlflowClient(tracking_uri=uri)
    experiment_id = _find_experiment(client, settings, run, folder, uri)
    fixed = {
        MLFLOW_RUN_NAME: run.name,
        MLFLOW_SOURCE_NAME: "ftops",
        MLFLOW_SOURCE_TYPE: "JOB",
        RUN_TAG: run.id,
    }
    found = _find_run(client, experiment_id, run.id)
    if found is None:
        began = int(run.began_at * 1000)
        found = client.create_run(experiment_id, start_time=began, tags=fixed, run_name=run.name)
    run_id: str = found.info.run_id
    _log_words(client, run_id, run, found.data.params)
    _log_figures(client, run_id, run)
    _log_data(client, run_id, run)
    for path in run.files:
        client.log_artifact(run_id, path)
    client.set_terminated(
        run_id, status=_STATUS.get(run.status, "FINISHED"), end_time=int(run.ended_at * 1000)
    )
    return f"run {run_id} at {uri}"


def _find_uri(settings: Mapping[str, str], folder: Path) -> str:
    """The address that the job file names, else the one of the environment, else a file beside it.

    A path of the environment begins where the command was given, as it does for MLflow itself.
    """
    uri = settings.get("tracking_uri")
    if uri is None:
        if around := _read_variable("MLFLOW_TRACKING_URI"):
            return around
        uri = _DEFAULT_URI
    scheme, mark, path = uri.partition(":///")
    if scheme == "sqlite" and mark and not path.startswith("/"):
        return f"sqlite:////{str(folder.absolute() / path).lstrip('/')}"
    return uri if ":" in uri else str(folder.absolute() / uri)


def _read_variable(name: str) -> str | None:
    """What the user's environment says, as MLflow reads it."""
    from mlflow import environment_variables

    value: str | None = getattr(environment_variables, name).get()
    return value


# Any: MLflow's own classes, which are known only where it is installed.
def _find_experiment(
    client: Any, settings: Mapping[str, str], run: RunData, folder: Path, uri: str
) -> str:
    from mlflow.exceptions import MlflowException

    named = settings.get("experiment") or _read_variable("MLFLOW_EXPERIMENT_NAME") or run.name
    name = cut(named, _EXPERIMENT)
    known = client.get_experiment_by_name(name)
    if known is None:
        # The files of a local data base would lie where the command was given.
        beside = folder.absolute() / "mlartifacts" if uri.startswith("sqlite:") else None
        place = beside.as_uri() if beside else None
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException:  # another process was first
            known = client.get_experiment_by_name(name)
            if known is None:
                raise
    if known.lifecycle_stage == "deleted":
        client.restore_experiment(known.experiment_id)
    return str(known.experiment_id)


def _find_run(client: Any, experiment_id: str, run_id: str) -> Any:
    found = client.search_runs([experiment_id], f"tags.`{RUN_TAG}` = '{run_id}'", max_results=1)
    return found[0] if found else None


def _log_words(client: Any, run_id: str, run: RunData, known: Mapping[str, str]) -> None:
    """Parameters, and as tags what may change: lineage, and parameters that have changed."""
    from mlflow.entities import Param, RunTag

    keys = fit_names(run.parameters, limit=_KEY)
    told = {keys[name]: cut(str(value), _PARAMETER) for name, value in run.parameters.items()}
    fresh = [Param(key, value) for key, value in told.items() if key not in known]
    tags = {**run.tags, "ftops.status": run.status}
    tags |= {f"ftops.{name}": value for name, value in run.lineage.list_known().items()}
    # MLflow keeps a parameter for ever as it was first told.
    tags |= {
        f"ftops.now.{key}": value for key, value in told.items() if known.get(key, value) != value
    }
    for part in _list_parts(fresh, _BATCH_OTHERS):
        client.log_batch(run_id, params=part)
    named = fit_names(tags, limit=_KEY)
    written = [RunTag(named[key], cut(value, _TAG)) for key, value in tags.items()]
    for some in _list_parts(written, _BATCH_OTHERS):
        client.log_batch(run_id, tags=some)


def _log_figures(client: Any, run_id: str, run: RunData) -> None:
    from mlflow.entities import Metric

    at_ms = int(run.ended_at * 1000)
    last = max((curve.steps[-1] for curve in run.curves), default=0)
    lines = {curve.name: dict(zip(curve.steps, curve.values, strict=True)) for curve in run.curves}
    lines |= {name: {last: value} for name, value in run.list_single_figures().items()}
    names = fit_names(lines, limit=_KEY)

    def list_missing() -> Iterator[Metric]:
        for name, points in lines.items():
            key = names[name]
            known = _find_known(client, run_id, key)
            for step, value in points.items():
                if not _is_same(known.get(step), value):
                    yield Metric(key, value, at_ms, step)

    for part in _list_parts(list_missing(), _BATCH_METRICS):
        client.log_batch(run_id, metrics=part)


def _find_known(client: Any, run_id: str, key: str) -> Mapping[int, float]:
    """The newest value of each step."""
    history = sorted(client.get_metric_history(run_id, key), key=lambda one: one.timestamp)
    return {one.step: one.value for one in history}


def _is_same(known: float | None, value: float) -> bool:
    if known is None:
        return False
    return known == value or (math.isnan(known) and math.isnan(value))


def _log_data(client: Any, run_id: str, run: RunData) -> None:
    """The data sets, by name and hash, as MLflow shows them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    lineage = run.lineage
    sets = (
        ("training", lineage.training_file, lineage.training_sha256),
        ("validation", lineage.validation_file, lineage.validation_sha256),
    )
    inputs = [
        DatasetInput(
            Dataset(cut(Path(name).name, _EXPERIMENT), digest[:_DIGEST], "local", name),
            [InputTag("mlflow.data.context", context)],
        )
        for context, name, digest in sets
        if name and digest
    ]
    if inputs:
        client.log_inputs(run_id, inputs)


def _list_parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
