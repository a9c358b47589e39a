"""Exported data comes from the ledger and the run folder, also of an unfinished run."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.errors import StorageError
from ftops.evaluation.result import CandidateKind, CandidateScore, Evaluation
from ftops.exports.run_data import MetricValue, TrainingCurve, collect_run_data, fit_names, shorten
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
from ftops.run_folder import RunFolder

STARTED = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)
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
    created_at=STARTED,
    updated_at=STARTED,
    job_id="ftjob-1",
    fine_tuned_model="ft:1",
    finished_at=STARTED + timedelta(minutes=1),
    error="the provider quotes a row",
)
PREPARED: dict[str, Json] = {
    "rows": 12,
    "cost_usd": 0.25,
    "row_format": "completion",
    "separator": " ->",
    "stop": None,
    "training": {
        "role": "train",
        "source": "data/train.jsonl",
        "sha256": "ab",
        "bytes": 900,
        "rows": 12,
    },
    "validation": None,
}


def make_stage(stage: Stage, **detail: Json) -> StageRecord:
    return StageRecord(stage, StageStatus.SUCCEEDED, detail=detail)


def test_all_data_of_a_run_is_exported(tmp_path: Path) -> None:
    metric = MetricResult(0.9, 0.8, 0.95, 40)
    tuned = CandidateScore("tuned", CandidateKind.TUNED, 40, {"accuracy": metric})
    evaluation = Evaluation("v.jsonl", 40, "accuracy", (tuned,))
    (tmp_path / "evaluation.json").write_bytes(orjson.dumps(evaluation.to_json()))
    table = "step,train_loss,valid_loss,lr\n1,3,,0.1\n2,2,2.5,nan\n2,1.5,,\n"
    (tmp_path / "results.csv").write_text(table)
    (tmp_path / "job.yaml").write_text("name: news\n")
    (tmp_path / "answers.jsonl").write_text("{}\n")
    stages = [
        make_stage(Stage.PREPARE, **PREPARED),
        make_stage(Stage.UPLOAD, training_file="file-1"),
        make_stage(Stage.FOLLOW, hyperparameters={"n_epochs": 3}, trained_tokens=99),
    ]
    run = collect_run_data(RUN, stages, RunFolder(tmp_path))
    assert run.curves == (
        TrainingCurve("train_loss", (1, 2), (3.0, 1.5)),
        TrainingCurve("valid_loss", (2,), (2.5,)),
        TrainingCurve("learning_rate", (1,), (0.1,)),
    )
    assert run.metrics == (MetricValue("tuned", "accuracy", 0.9, 0.8, 0.95, 40),)
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
    assert run.lineage.to_tags() == {
        "run_key": "key",
        "training_sha256": "ab",
        "training_file": "data/train.jsonl",
        "training_file_id": "file-1",
        "job_id": "ftjob-1",
        "model": "ft:1",
    }
    assert [Path(path).name for path in run.files] == ["job.yaml", "results.csv", "evaluation.json"]
    assert run.ended_at - run.started_at == 60
    assert run.tags["ftops.estimated_cost_usd"] == "0.25"
    exported = str(run.to_json())
    assert "quotes a row" not in exported
    assert "MY_KEY" not in exported


def test_a_run_that_failed_early_is_exported_with_its_existing_data(tmp_path: Path) -> None:
    run = collect_run_data(RUN, [], RunFolder(tmp_path / "missing"))
    assert (run.curves, run.metrics, run.files) == ((), (), ())
    assert run.parameters["n_epochs"] == "auto"
    assert run.lineage.training_file == "data/train.jsonl"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"version": 99}', b'{"accuracy": 0.75}', b"\xff"]
)
def test_invalid_files_are_exported_unchanged(tmp_path: Path, content: bytes) -> None:
    for name in ("results.csv", "evaluation.json"):
        (tmp_path / name).write_bytes(content)
    run = collect_run_data(RUN, [], RunFolder(tmp_path))
    assert (run.curves, run.metrics) == ((), ())
    assert len(run.files) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "results.csv").mkdir()
    with pytest.raises(StorageError, match=r"results\.csv"):
        collect_run_data(RUN, [], RunFolder(tmp_path))


@given(st.lists(st.text(max_size=40), unique=True))
def test_fitted_names_are_distinct_short_and_have_no_parent_folder(names: list[str]) -> None:
    fitted = fit_names(names, limit=20)
    assert list(fitted) == names
    assert len(set(fitted.values())) == len(names)
    for name in fitted.values():
        assert 0 < len(name) <= 20
        assert not {"", ".", ".."} & set(name.split("/"))


def test_valid_names_are_unchanged() -> None:
    names = ["train_loss", "eval/tuned/f1 macro", "a.b-c"]
    assert list(fit_names(names, limit=250).values()) == names


def test_a_shortened_text_ends_with_an_ellipsis() -> None:
    assert (shorten("abc", 3), shorten("abcd", 3)) == ("abc", "ab…")
