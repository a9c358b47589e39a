"""What trackers are told comes from the ledger and the run's folder, as far as the run has come."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from ftops.errors import StorageError
from ftops.evaluation.result import CandidateKind, CandidateScore, Evaluation
from ftops.exports.gathering import collect_run_data
from ftops.exports.run_data import MetricValue, TrainingCurve
from ftops.metrics.result import MetricResult
from ftops.records import (
    Json,
    ProviderSettings,
    Run,
    RunId,
    RunStatus,
    Stage,
    StageRecord,
    StageStatus,
)

BEGAN = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)
RUN = Run(
    id=RunId("run-1"),
    key="key",
    name="news",
    status=RunStatus.SUCCEEDED,
    provider=ProviderSettings("openai", base_url="https://host/v1", api_key_env="MY_KEY"),
    model="ada",
    spec={
        "hyperparameters": {"n_epochs": "auto", "batch_size": 8, "beta": None},
        "seed": 7,
        "training_file": "data/train.jsonl",
        "method": "supervised",
    },
    job_file="/jobs/job.yaml",
    created_at=BEGAN,
    updated_at=BEGAN,
    job_id="ftjob-1",
    fine_tuned_model="ft:1",
    finished_at=BEGAN + timedelta(minutes=1),
    error="the provider quotes a row",
)
PREPARED: dict[str, Json] = {
    "rows": 12,
    "cost_usd": 0.25,
    "recipe": {"row_format": "completion", "separator": " ->", "stop": None},
    "training": {"role": "train", "source": "data/train.jsonl", "sha256": "ab"},
    "validation": None,
}


def stage(stage: Stage, **detail: Json) -> StageRecord:
    return StageRecord(stage, StageStatus.SUCCEEDED, detail=detail)


def test_all_that_a_run_has_come_to_is_told(tmp_path: Path) -> None:
    figure = MetricResult(0.9, 0.8, 0.95, 40)
    tuned = CandidateScore("tuned", CandidateKind.TUNED, 40, {"accuracy": figure})
    evaluation = Evaluation("v.jsonl", 40, "accuracy", (tuned,))
    (tmp_path / "evaluation.json").write_bytes(orjson.dumps(evaluation.to_json()))
    table = "step,train_loss,valid_loss,lr\n1,3,,0.1\n2,2,2.5,nan\n2,1.5,,\n"
    (tmp_path / "results.csv").write_text(table)
    (tmp_path / "job.yaml").write_text("name: news\n")
    (tmp_path / "answers.jsonl").write_text("{}\n")
    stages = [
        stage(Stage.PREPARE, **PREPARED),
        stage(Stage.UPLOAD, training_file="file-1"),
        stage(Stage.FOLLOW, hyperparameters={"n_epochs": 3}, trained_tokens=99),
    ]
    run = collect_run_data(RUN, stages, tmp_path)
    assert run.curves == (
        TrainingCurve("train_loss", (1, 2), (3.0, 1.5)),
        TrainingCurve("valid_loss", (2,), (2.5,)),
        TrainingCurve("learning_rate", (1,), (0.1,)),
    )
    assert run.figures == (MetricValue("tuned", "accuracy", 0.9, 0.8, 0.95, 40),)
    assert run.parameters == {
        "name": "news",
        "base_model": "ada",
        "provider": "openai",
        "provider_url": "https://host/v1",
        "method": "supervised",
        "seed": 7,
        "n_epochs": 3,
        "batch_size": 8,
        "row_format": "completion",
        "separator": " ->",
        "training_rows": 12,
        "trained_tokens": 99,
    }
    assert run.lineage.list_known() == {
        "run_key": "key",
        "training_sha256": "ab",
        "training_file": "data/train.jsonl",
        "training_file_id": "file-1",
        "job_id": "ftjob-1",
        "model": "ft:1",
    }
    assert [Path(path).name for path in run.files] == ["job.yaml", "results.csv", "evaluation.json"]
    assert run.ended_at - run.began_at == 60
    assert run.tags["ftops.estimated_cost_usd"] == "0.25"
    told = str(run.to_json())
    assert "quotes a row" not in told
    assert "MY_KEY" not in told


def test_a_run_that_failed_early_is_told_with_what_there_is(tmp_path: Path) -> None:
    run = collect_run_data(RUN, [], tmp_path / "gone")
    assert (run.curves, run.figures, run.files) == ((), (), ())
    assert run.parameters["n_epochs"] == "auto"
    assert run.lineage.training_file == "data/train.jsonl"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"version": 99}', b'{"accuracy": 0.75}', b"\xff"]
)
def test_files_that_cannot_be_understood_go_along_as_they_are(
    tmp_path: Path, content: bytes
) -> None:
    for name in ("results.csv", "evaluation.json"):
        (tmp_path / name).write_bytes(content)
    run = collect_run_data(RUN, [], tmp_path)
    assert (run.curves, run.figures) == ((), ())
    assert len(run.files) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "results.csv").mkdir()
    with pytest.raises(StorageError, match=r"results\.csv"):
        collect_run_data(RUN, [], tmp_path)
