"""The lineage of a model: its generations, primary metric, cost and shutdown date."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ftops.evaluation.result import CandidateKind, CandidateScore, Evaluation
from ftops.ledger.ledger import Ledger
from ftops.metrics.result import MetricResult
from ftops.providers.model_catalog import ModelInfo
from ftops.records import (
    Checkpoint,
    ProviderSettings,
    RowFormat,
    Run,
    RunId,
    RunStatus,
    Stage,
    StageRecord,
    StageStatus,
    TunedModel,
)
from ftops.runs import lineage
from ftops.runs.lineage import ModelVersion
from ftops.stage_results import (
    FollowResult,
    PreparedData,
    PreparedFile,
    StageResults,
    TrainingSummary,
)
from tests.fakes import FakeClock

NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)
LOCAL = ProviderSettings("local")
FIRST, SECOND = "ft:ada:local:first:aaaaaaaa", "ft:ada:local:second:bbbbbbbb"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.db", FakeClock())
    yield opened
    opened.close()


def make_run(run_id: str) -> Run:
    return Run(
        id=RunId(run_id),
        key=run_id,
        name="small",
        status=RunStatus.PENDING,
        provider=LOCAL,
        model="ada",
        spec={},
        job_file="/jobs/small.yaml",
        created_at=NOW,
        updated_at=NOW,
    )


def add_model(ledger: Ledger, name: str, run_id: str, base: str) -> TunedModel:
    ledger.add_run(make_run(run_id), if_absent=False)
    model = TunedModel(name, RunId(run_id), f"ftjob-{run_id}", base, LOCAL, created_at=NOW)
    ledger.add_model(model)
    return model


def make_version(
    cost_usd: float | None = None,
    trained_tokens: int | None = None,
    checkpoints: Sequence[Checkpoint] = (),
) -> ModelVersion:
    file = PreparedFile("train", "train.jsonl")
    details = {
        Stage.PREPARE: PreparedData(
            RowFormat.COMPLETION, "", None, file, cost_usd=cost_usd
        ).to_json(),
        Stage.FOLLOW: FollowResult(FIRST, trained_tokens).to_json(),
        Stage.RESULTS: TrainingSummary(
            "file-1", 10, step=60, checkpoints=tuple(checkpoints)
        ).to_json(),
    }
    stages = tuple(
        StageRecord(stage, StageStatus.SUCCEEDED, detail=detail)
        for stage, detail in details.items()
    )
    tuned = TunedModel(FIRST, RunId("run-1"), "ftjob-1", "ada", LOCAL, created_at=NOW)
    return ModelVersion(tuned, make_run("run-1"), stages, StageResults.read(stages))


def write_evaluation(home: Path, text: str) -> Run:
    run = make_run("run-1")
    folder = home / "runs" / run.id
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(text, encoding="utf-8")
    return run


def make_evaluation(**metrics: MetricResult) -> Evaluation:
    tuned = CandidateScore("tuned", CandidateKind.TUNED, 100, metrics, model=FIRST)
    base = CandidateScore(
        "base", CandidateKind.BASE, 100, {"accuracy": MetricResult(0.3, 0.2, 0.4, 100)}
    )
    return Evaluation("test.jsonl", 100, "accuracy", (base, tuned))


def test_a_model_tuned_from_a_tuned_model_has_both_generations(ledger: Ledger) -> None:
    add_model(ledger, FIRST, "run-1", "ada")
    second = add_model(ledger, SECOND, "run-2", FIRST)
    versions = lineage.trace_lineage(ledger, second)
    assert [version.tuned.name for version in versions] == [FIRST, SECOND]
    assert [version.run.id if version.run else None for version in versions] == ["run-1", "run-2"]


def test_a_cycle_of_base_models_ends_the_chain(ledger: Ledger) -> None:
    first = add_model(ledger, FIRST, "run-1", SECOND)
    add_model(ledger, SECOND, "run-2", FIRST)
    assert [version.tuned.name for version in lineage.trace_lineage(ledger, first)] == [
        SECOND,
        FIRST,
    ]


def test_a_run_without_prepared_data_has_no_hash(ledger: Ledger) -> None:
    version = lineage.load_model_version(ledger, add_model(ledger, FIRST, "run-1", "ada"))
    assert (version.prepared, version.data_sha256) == (None, "")


def test_the_primary_metric_is_that_of_the_tuned_model(tmp_path: Path) -> None:
    evaluation = make_evaluation(accuracy=MetricResult(0.94, 0.9, 0.97, 100))
    run = write_evaluation(tmp_path, json.dumps(evaluation.to_json()))
    metric = lineage.find_primary_metric(lineage.find_evaluation(run, tmp_path))
    assert metric is not None
    assert metric.to_json() == {
        "name": "accuracy",
        "value": 0.94,
        "low": 0.9,
        "high": 0.97,
        "rows": 100,
    }


def test_all_checkpoints_of_the_results_are_listed() -> None:
    listed = [
        Checkpoint("ftckpt-2", 40, f"{FIRST}:ckpt-40", {"valid_loss": 0.2}),
        Checkpoint("ftckpt-1", 20, f"{FIRST}:ckpt-20"),
        Checkpoint("ftckpt-3", 60, f"{FIRST}:ckpt-60"),
    ]
    version = make_version(checkpoints=listed)
    checkpoints = lineage.list_checkpoints(version)
    assert [(checkpoint.step, checkpoint.model) for checkpoint in checkpoints] == [
        (20, f"{FIRST}:ckpt-20"),
        (40, f"{FIRST}:ckpt-40"),
    ]


def test_a_missing_metric_of_the_tuned_model_is_not_taken_from_another() -> None:
    assert lineage.find_primary_metric(make_evaluation()) is None


@pytest.mark.parametrize("text", ['{"rows": 3, "correct": 2}', "{", '{"version": 2}', "[]"])
def test_an_older_or_damaged_evaluation_counts_as_none(tmp_path: Path, text: str) -> None:
    run = write_evaluation(tmp_path, text)
    assert lineage.find_evaluation(run, tmp_path) is None
    assert lineage.find_primary_metric(None) is None


def test_the_training_cost_is_trained_tokens_times_price() -> None:
    version = make_version(cost_usd=9.0, trained_tokens=200_000)
    cost = lineage.find_training_cost(version, ModelInfo(train_usd=25.0))
    assert cost is not None
    assert cost.to_json() == {"usd": 5.0, "trained_tokens": 200_000, "estimated": False}


@pytest.mark.parametrize(("tokens", "price"), [(200_000, None), (None, 25.0)])
def test_without_tokens_or_price_the_cost_is_the_estimate(
    tokens: int | None, price: float | None
) -> None:
    version = make_version(cost_usd=9.0, trained_tokens=tokens)
    cost = lineage.find_training_cost(version, ModelInfo(train_usd=price))
    assert cost is not None
    assert cost.to_json() == {"usd": 9.0, "trained_tokens": None, "estimated": True}


def test_without_a_known_price_there_is_no_cost() -> None:
    assert lineage.find_training_cost(make_version(), ModelInfo()) is None


@pytest.mark.parametrize(
    ("reported", "known", "expected"),
    [
        (None, None, None),
        (None, date(2027, 1, 14), date(2027, 1, 14)),
        ("2026-12-01", date(2027, 1, 14), date(2026, 12, 1)),
        ("2026-12-01T00:00:00Z", None, date(2026, 12, 1)),
        ("soon", date(2027, 1, 14), date(2027, 1, 14)),
        ("1796860800", None, date(2026, 12, 10)),
        ("9" * 30, None, None),
    ],
)
def test_the_shutdown_date_is_the_earlier_of_reported_and_known(
    reported: str | None, known: date | None, expected: date | None
) -> None:
    shutdown = lineage.find_shutdown_date(reported, ModelInfo(shutdown=known))
    assert shutdown == expected


def test_the_job_file_is_shown_as_it_was_run(tmp_path: Path) -> None:
    run = make_run("run-1")
    assert lineage.read_job_file(run, tmp_path) is None
    (tmp_path / "runs" / "run-1").mkdir(parents=True)
    (tmp_path / "runs" / "run-1" / "job.yaml").write_text("name: small\n", encoding="utf-8")
    assert lineage.read_job_file(run, tmp_path) == "name: small\n"
