"""Runs in MLflow, written by an export process and read with MLflow's own client."""

import contextlib
import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from ftops.errors import ExportFailed
from ftops.exports.exporter import ExportTarget, SubprocessExporter
from ftops.exports.run_data import MetricValue, TrainingCurve
from tests.exports.runs import RUN_ID, STARTED, export_run, make_environ, make_hostile_run, make_run

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["sqlite:///store.db", "mlruns"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return str(request.param)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that MLflow has created, which takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    open_client(folder, "sqlite:///store.db").search_experiments()
    return folder / "store.db"


def open_client(folder: Path, store: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from modules that MLflow imports
        from mlflow.tracking import MlflowClient

    uri = store.replace("///", f"///{folder}/") if ":" in store else str(folder / store)
    return MlflowClient(tracking_uri=uri)


def list_runs(client: Any) -> list[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments))


def list_points(client: Any, run: Any, key: str) -> list[tuple[int, float]]:
    history = client.get_metric_history(run.info.run_id, key)
    return sorted((metric.step, metric.value) for metric in history)


def test_an_exported_run_is_read_back_whole(tmp_path: Path, store: str) -> None:
    report = tmp_path / "job.yaml"
    report.write_text("name: news\n")
    run = make_run(files=(str(report),))
    location = export_run(tmp_path, "mlflow", run, tracking_uri=store, experiment="topics")
    client = open_client(tmp_path, store)
    (exported,) = list_runs(client)
    assert f"run {exported.info.run_id} at " in location
    assert client.get_experiment(exported.info.experiment_id).name == "topics"
    assert (exported.info.run_name, exported.info.status) == ("news topics/1", "FINISHED")
    assert (exported.info.start_time, exported.info.end_time) == (
        STARTED * 1000,
        STARTED * 1000 + 60_000,
    )
    assert exported.data.params == {
        "base_model": "ada", "n_epochs": "3", "learning_rate_multiplier": "0.5",
    }  # fmt: skip
    assert list_points(client, exported, "train_loss") == [(1, 3.0), (2, 1.5), (3, 1.0), (4, 0.75)]
    assert list_points(client, exported, "eval/tuned/accuracy") == [(4, 0.9375)]
    assert exported.data.metrics["eval/tuned/accuracy_low"] == 0.875
    assert exported.data.metrics["eval/few-shot_ 5/accuracy"] == 0.5
    assert exported.data.tags["ftops.run_id"] == RUN_ID
    assert exported.data.tags["ftops.training_sha256"] == "ab" * 32
    assert exported.data.tags["ftops.job_id"] == "ftjob-1"
    assert exported.data.tags["ftops.model"] == "ft:ada:local:news:1"
    (data,) = exported.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("train.jsonl", ("ab" * 32)[:36])
    assert [artifact.path for artifact in client.list_artifacts(exported.info.run_id)] == [
        "job.yaml"
    ]
    assert (tmp_path / "mlruns").is_dir() == (store == "mlruns")


def test_a_second_export_of_a_run_updates_the_first(
    tmp_path: Path, store: str, empty_store: Path
) -> None:
    shutil.copy(empty_store, tmp_path)
    early = make_run(status="failed", steps=2, metrics=())
    export_run(tmp_path, "mlflow", early, tracking_uri=store)
    changed = MetricValue("tuned", "accuracy", 1.0)
    run = make_run(steps=3, ended_at=STARTED + 90, parameters={"base_model": "ada", "n_epochs": 9})
    export_run(tmp_path, "mlflow", run, tracking_uri=store)
    later = make_run(steps=3, ended_at=STARTED + 99, metrics=(changed,))
    export_run(tmp_path, "mlflow", later, tracking_uri=store)
    client = open_client(tmp_path, store)
    (exported,) = list_runs(client)
    assert exported.info.status == "FINISHED"
    assert list_points(client, exported, "train_loss") == [(1, 3.0), (2, 1.5), (3, 1.0)]
    assert list_points(client, exported, "eval/tuned/accuracy") == [(3, 0.9375), (3, 1.0)]
    assert exported.data.metrics["eval/tuned/accuracy"] == 1.0
    assert exported.data.params["n_epochs"] == "3"  # as first logged; MLflow keeps it
    assert exported.data.tags["ftops.latest.n_epochs"] == "9"


def test_names_and_values_beyond_the_limits_of_mlflow_are_shortened(
    tmp_path: Path, store: str, empty_store: Path
) -> None:
    shutil.copy(empty_store, tmp_path)
    export_run(tmp_path, "mlflow", make_hostile_run(), tracking_uri=store)
    client = open_client(tmp_path, store)
    (exported,) = list_runs(client)
    params = exported.data.params
    assert len(params) == 4
    assert len(params["separator"]) == 6000
    assert params["separator"].endswith("…")
    assert params["a/_/b"] == "True"
    assert list_points(client, exported, "_/_/loss") == [(1, 1.0), (2, 2.0)]
    assert list_points(client, exported, "loss_") == [(1, 3.0), (2, 4.0)]
    (second_key,) = (key for key in exported.data.metrics if key.startswith("loss_-"))
    (first, second) = list_points(client, exported, second_key)
    assert (first, math.isnan(second[1])) == ((1, 5.0), True)
    assert list_points(client, exported, "Ünïcode 损失") == [(1, 7.0)]
    assert all(len(key) <= 250 for key in (*params, *exported.data.metrics))
    assert len(exported.data.metrics) == 6


def test_ten_thousand_steps_are_logged_in_batches(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path)
    steps = tuple(range(10_000))
    curve = TrainingCurve("train_loss", steps, tuple(1 / (step + 1) for step in steps))
    export_run(tmp_path, "mlflow", make_run(curves=(curve,)), tracking_uri="sqlite:///store.db")
    client = open_client(tmp_path, "sqlite:///store.db")
    (exported,) = list_runs(client)
    assert list_points(client, exported, "train_loss") == list(
        zip(steps, curve.values, strict=True)
    )


def test_killed_exports_leave_no_second_run(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path)
    environ = make_environ(tmp_path)
    target = ExportTarget("mlflow", {"tracking_uri": "sqlite:///store.db"}, tmp_path)
    steps = tuple(range(5_000))
    run = make_run(
        curves=(TrainingCurve("train_loss", steps, tuple(float(step) for step in steps)),)
    )
    export_run(
        tmp_path, "mlflow", make_run(curves=(), metrics=()), tracking_uri="sqlite:///store.db"
    )
    for timeout_s in (1.5, 2.0, 2.5):
        with contextlib.suppress(ExportFailed):
            SubprocessExporter(environ, timeout_s=timeout_s).export(run, target)
    SubprocessExporter(environ).export(run, target)
    client = open_client(tmp_path, "sqlite:///store.db")
    (exported,) = list_runs(client)
    assert list_points(client, exported, "train_loss") == [(step, float(step)) for step in steps]


def test_the_job_file_overrides_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "job"
    folder.mkdir()
    shutil.copy(empty_store, tmp_path / "mine.db")
    shutil.copy(empty_store, folder / "named.db")
    variables = {"MLFLOW_TRACKING_URI": "sqlite:///mine.db", "MLFLOW_EXPERIMENT_NAME": "ours"}
    exporter = SubprocessExporter(make_environ(tmp_path, **variables))
    exporter.export(make_run(), ExportTarget("mlflow", {}, folder))
    (exported,) = list_runs(client := open_client(tmp_path, "sqlite:///mine.db"))
    assert client.get_experiment(exported.info.experiment_id).name == "ours"
    named = {"tracking_uri": "sqlite:///named.db", "experiment": "theirs"}
    exporter.export(make_run(), ExportTarget("mlflow", named, folder))
    (exported,) = list_runs(client := open_client(folder, "sqlite:///named.db"))
    assert client.get_experiment(exported.info.experiment_id).name == "theirs"


def test_an_unreachable_server_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ExportFailed, match=r"^export: mlflow refuses the run: .*127\.0\.0\.1"
    ) as error:
        export_run(tmp_path, "mlflow", make_run(), tracking_uri="http://127.0.0.1:9")
    assert "\n" not in error.value.message
