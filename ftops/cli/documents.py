"""Records as JSON documents, with the API's field names where it has one.

Times are whole seconds since 1970 (as in the API), durations are seconds, shares lie between 0
and 1; what is not known is null.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftops.http.request_log import RequestLogEntry
    from ftops.ledger.ledger import Move, RemoteCall
    from ftops.metrics.evaluation import Evaluation
    from ftops.records import JobEvent, Json, RemoteFile, Run, StageRecord
    from ftops.reports.results import ResultRow
    from ftops.reports.training import Training
    from ftops.reports.training_findings import Finding


_LAST_FIGURES = {
    "train_loss": "train_loss",
    "train_accuracy": "train_accuracy",
    "valid_loss": "valid_loss",
    "valid_accuracy": "valid_mean_token_accuracy",
    "full_valid_loss": "full_valid_loss",
}


def run_document(run: "Run") -> "dict[str, Json]":
    """One line of `ftops runs`."""
    return {
        "run_id": run.id,
        "name": run.name,
        "status": run.status.value,
        "provider": run.provider.type,
        "base_url": run.provider.base_url,
        "protocol": run.provider.protocol,
        "model": run.model,
        "job_id": run.job_id,
        "fine_tuned_model": run.fine_tuned_model,
        "job_file": run.job_file,
        "created_at": seconds(run.created_at),
        "finished_at": seconds(run.finished_at),
        "pruned_at": seconds(run.pruned_at),
        "error": run.error,
    }


def stage_document(record: "StageRecord") -> "dict[str, Json]":
    return {
        "stage": record.stage.value,
        "status": record.status.value,
        "attempts": record.attempts,
        "started_at": seconds(record.started_at),
        "finished_at": seconds(record.finished_at),
        "seconds": None if record.seconds is None else round(record.seconds, 3),
        "detail": dict(record.detail),
        "error": record.error,
    }


def metrics_document(
    rows: "Sequence[ResultRow]", evaluation: "Evaluation | None"
) -> "dict[str, Json]":
    """The last figure of each kind, and how the model did on the evaluation file."""
    document: dict[str, Json] = {"steps": rows[-1].step if rows else None}
    for name, title in _LAST_FIGURES.items():
        known = (figure for row in reversed(rows) if (figure := getattr(row, name)) is not None)
        document[title] = next(known, None)
    return document | _evaluation_figures(evaluation)


def _evaluation_figures(evaluation: "Evaluation | None") -> "dict[str, Json]":
    """How the tuned model did, in a few figures; all of it stands under `evaluation`."""
    first = evaluation.candidates[0] if evaluation and evaluation.candidates else None
    names = ("rows", "primary_metric", "value", "low", "high", "passed")
    if evaluation is None or first is None:
        return dict.fromkeys((*names, "accuracy"))
    figure = first.metrics.get(evaluation.primary_metric)
    accuracy = first.metrics.get("accuracy")
    return {
        "rows": evaluation.rows,
        "primary_metric": evaluation.primary_metric,
        "value": figure.value if figure else None,
        "low": figure.low if figure else None,
        "high": figure.high if figure else None,
        "passed": evaluation.passed if evaluation.requirements else None,
        "accuracy": accuracy.value if accuracy else None,
    }


def result_document(row: "ResultRow") -> "dict[str, Json]":
    """One step under the titles of the normalised table."""
    from ftops.reports.results import HEADERS

    figures: dict[str, Json] = {titles[0]: getattr(row, name) for name, titles in HEADERS.items()}
    return {"step": row.step, **figures, **row.extra}


def training_document(
    run: "Run", training: "Training", findings: "Sequence[Finding]"
) -> "dict[str, Json]":
    """`ftops results --json`: every step of a run, its checkpoints, and what they say."""
    return {
        "run_id": run.id,
        "name": run.name,
        "status": run.status.value,
        "job_id": run.job_id,
        "fine_tuned_model": run.fine_tuned_model,
        "steps": [result_document(row) for row in training.rows],
        "epoch_ends": list(training.epoch_ends),
        "checkpoints": [
            {"step": one.step, "model": one.model, "metrics": dict(one.metrics)}
            for one in training.facts.checkpoints
        ],
        "findings": [finding.to_json() for finding in findings],
    }


def event_document(event: "JobEvent") -> "dict[str, Json]":
    return {
        "id": event.id,
        "created_at": seconds(event.created_at),
        "level": event.level,
        "type": event.type,
        "message": event.message,
        "data": dict(event.data),
    }


def call_document(call: "RemoteCall") -> "dict[str, Json]":
    return {
        "call": call.name,
        "stage": call.stage.value,
        "state": call.state,
        "remote_id": call.remote_id,
        "began_at": seconds(call.began_at),
        "ended_at": seconds(call.ended_at),
        "error": call.error,
    }


def move_document(move: "Move") -> "dict[str, Json]":
    """A change of state of the run (`stage` is null) or of a stage; `error` says why it failed."""
    return {
        "at": seconds(move.at),
        "stage": move.stage.value if move.stage else None,
        "before": move.before,
        "after": move.after,
        "attempt": move.attempt,
        "error": move.error,
    }


def exchange_document(exchange: "RequestLogEntry") -> "dict[str, Json]":
    """One line of the request log."""
    return {**exchange.to_json(), "at": seconds(exchange.at)}


def file_document(file: "RemoteFile") -> "dict[str, Json]":
    return {
        "id": file.id,
        "filename": file.filename,
        "bytes": file.bytes,
        "purpose": file.purpose,
        "status": file.status,
        "created_at": seconds(file.created_at),
    }


def seconds(moment: datetime | None) -> int | None:
    """Whole seconds since 1970."""
    return None if moment is None else int(moment.timestamp())
