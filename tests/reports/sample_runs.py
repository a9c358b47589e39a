"""Sample runs to report, with the data of their ledger and run folder."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from ftops.evaluation.result import CandidateKind, Evaluation, SkippedCandidate
from ftops.evaluation.scoring import CandidatePredictions, ScoringOptions, evaluate
from ftops.inference.budget import Prices
from ftops.metrics.metric import create_metrics
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.registry import MetricChoice
from ftops.metrics.requirement import parse_requirement
from ftops.records import (
    Checkpoint,
    Json,
    ProviderSettings,
    Run,
    RunId,
    RunStatus,
    Stage,
    StageRecord,
    StageStatus,
    TunedModel,
)
from ftops.reports.contents import Contents, build
from ftops.reports.results import ResultRow
from ftops.reports.run_facts import DataIssue, RunFacts
from ftops.reports.training import TrainingFacts, create_training
from ftops.stage_results import RunCost

NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)
LABELS = ("politics", "science", "sports")
HOSTILE = "<script>hit(1)</script><img src=x onerror=hit(2)>\"'&lt;`${hit(3)}`</style>\u2028\x1b]0;"


def make_run(**changes: object) -> Run:
    """A finished run of the built-in engine."""
    values: dict[str, object] = {
        "id": RunId("run-20261122-1407-k3f9"),
        "key": "c4" * 32,
        "name": "news-topics",
        "status": RunStatus.SUCCEEDED,
        "provider": ProviderSettings("openai"),
        "model": "gpt-4.1-nano-2025-04-14",
        "spec": {"training_file": "train.jsonl", "seed": 42, "hyperparameters": {"n_epochs": 3}},
        "job_file": "/home/me/news-topics.yaml",
        "created_at": NOW,
        "updated_at": NOW,
        "job_id": "ftjob-abc123",
        "fine_tuned_model": "ft:gpt-4.1-nano:acme:news:a1b2c3d4",
        "finished_at": NOW + timedelta(minutes=21),
    }
    return Run(**{**values, **changes})  # type: ignore[arg-type]


def make_stages(source: str = "data/train.jsonl") -> list[StageRecord]:
    """All stages, succeeded, with their details."""
    data: dict[str, Json] = {
        "sha256": "804ff684cdf5e0098",
        "bytes": 84_465,
        "rows": 720,
        "file_id": None,
    }
    details: Mapping[Stage, dict[str, Json]] = {
        Stage.PREPARE: {
            "row_format": "completion",
            "separator": "",
            "stop": None,
            "tokens": 22_452,
            "cost_usd": 0.101,
            "overlap_rows": 3,
            "training": {"role": "train", "source": source, **data},
            "validation": {"role": "validation", "source": "data/test.jsonl", **data, "rows": 180},
        },
        Stage.UPLOAD: {"training_file": "file-aaa", "validation_file": "file-bbb"},
        Stage.FOLLOW: {
            "trained_tokens": 67_356,
            "hyperparameters": {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 0.1},
        },
    }
    return [
        StageRecord(
            stage,
            StageStatus.SUCCEEDED,
            1,
            NOW,
            NOW + timedelta(seconds=90),
            detail=details.get(stage, {}),
        )
        for stage in Stage
        if stage is not Stage.DEPLOY
    ]


def make_results(steps: int = 450, seed: int = 1, rise: float = 2.4) -> list[ResultRow]:
    """A training whose validation loss falls, and rises in its last third."""
    rng = random.Random(seed)
    rows = []
    for step in range(1, steps + 1):
        share = step / steps
        loss = 2.4 * (1 - share) ** 2 + 0.06 + rng.random() * 0.12
        valid = 2.2 * (1 - share) ** 2 + 0.35 + rise * max(0.0, share - 0.66)
        measured = step % max(1, steps // 15) == 0
        rows.append(
            ResultRow(
                step,
                loss,
                min(1.0, 0.3 + share * 0.7),
                valid if measured else None,
                min(0.95, 0.3 + share * 0.6) if measured else None,
            )
        )
    return rows


def make_predictions(
    right: float, *, seed: int, rows: int = 180, labels: Sequence[str] = LABELS, hostile: str = ""
) -> list[Prediction]:
    """Predictions with a share of about `right` correct; one row is refused."""
    rng = random.Random(seed)
    predictions = []
    for line in range(1, rows + 1):
        expected = labels[line % len(labels)]
        predicted = expected if rng.random() < right else labels[(line + 1) % len(labels)]
        prompt = f"Row {line}: the committee met again in the evening.{hostile} ->"
        refused = line == 7 and right < 0.9
        predictions.append(
            Prediction(
                line,
                prompt,
                expected,
                "" if refused else predicted,
                prompt_tokens=28 if seed != 2 else 240,
                completion_tokens=1,
                seconds=0.2 + rng.random() / 5 + (0.3 if seed == 2 else 0),
                probabilities={predicted: 0.5 + rng.random() / 2} if seed == 1 else {},
                problem=Problem.REFUSED if refused else None,
                note="I cannot help with that" if refused else "",
            )
        )
    return predictions


def make_candidates(
    *, labels: Sequence[str] = LABELS, hostile: str = "", rows: int = 180
) -> list[CandidatePredictions]:
    """The tuned model, few-shot and two baselines."""

    def predict(right: float, seed: int) -> list[Prediction]:
        return make_predictions(right, seed=seed, rows=rows, labels=labels, hostile=hostile)

    return [
        CandidatePredictions(
            f"tuned{hostile}",
            CandidateKind.TUNED,
            predict(0.94, 1),
            model=f"ft:gpt-4.1-nano:acme:news:a1b2c3d4{hostile}",
            provider="openai",
            prices=Prices(0.2, 0.8),
        ),
        CandidatePredictions(
            f"few-shot: 5{hostile}",
            CandidateKind.FEW_SHOT,
            predict(0.84, 2),
            model="gpt-4.1-nano-2025-04-14",
            provider="openai",
            prices=Prices(0.1, 0.4),
        ),
        CandidatePredictions(
            f"nearest neighbour{hostile}", CandidateKind.NEAREST, predict(0.71, 3)
        ),
        CandidatePredictions(f"majority{hostile}", CandidateKind.MAJORITY, predict(0.0, 4)),
    ]


def make_evaluation(candidates: Sequence[CandidatePredictions], *, hostile: str = "") -> Evaluation:
    """Those candidates, scored and compared as a run does it."""
    metrics = create_metrics([MetricChoice("accuracy"), MetricChoice("f1")])
    return evaluate(
        f"data/test.jsonl{hostile}",
        candidates,
        metrics,
        ScoringOptions(
            file_sha256="5f" * 32,
            training_usd=0.101,
            requirements=[parse_requirement("accuracy", ">= 0.9")],
            skipped=[SkippedCandidate(f"base{hostile}", f"it was never trained{hostile}")],
        ),
    )


def make_facts(
    *,
    hostile: str = "",
    labels: Sequence[str] = LABELS,
    rows: int = 180,
    results: Callable[[], Sequence[ResultRow]] = make_results,
    **changes: object,
) -> RunFacts:
    """A run with all data; `hostile` is part of each text of data or providers."""
    candidates = make_candidates(labels=labels, hostile=hostile, rows=rows)
    run = make_run(**changes) if changes else make_run(name=f"news-topics{hostile}")
    return RunFacts(
        run=run,
        stages=make_stages(f"data/train{hostile}.jsonl"),
        training=create_training(
            results(),
            TrainingFacts(
                rows=720,
                validation_rows=180,
                n_epochs=3,
                checkpoints=(Checkpoint("ckpt-1", 300, f"ft:nano:ckpt-300{hostile}"),),
            ),
        ),
        evaluation=make_evaluation(candidates, hostile=hostile),
        predictions={candidate.name: candidate.predictions for candidate in candidates},
        cost=RunCost(0.101, 0.12, 0.107),
        job_text=f"name: news-topics{hostile}\nmodel: gpt-4.1-nano-2025-04-14\n",
        model=TunedModel(
            run.fine_tuned_model or "", run.id, "ftjob-abc123", run.model, run.provider, NOW
        ),
        data=[DataIssue("warning", f"prompts end in no common sign{hostile}", "Append one.")],
    )


def make_contents(*facts: RunFacts) -> Contents:
    """A report about these runs, or about one run with all data."""
    return build(facts or (make_facts(),), NOW)
