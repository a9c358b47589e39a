"""A report as JSON, with the content of the HTML page."""

from ftops import __version__
from ftops.records import Json
from ftops.reports.contents import Contents, EvaluationPart, RunPart
from ftops.reports.run_facts import DataIssue

VERSION = 1


def create_document(contents: Contents) -> dict[str, Json]:
    """The report as plain JSON values. Times are whole seconds since 1970."""
    return {
        "version": VERSION,
        "ftops": __version__,
        "title": contents.title,
        "made_at": int(contents.made_at.timestamp()),
        "runs": [_describe_run(entry) for entry in contents.runs],
        "leaderboard": [
            {
                "run": entry.run,
                "candidate": entry.candidate,
                "metric": entry.metric,
                "value": entry.result.value,
                "low": entry.result.low,
                "high": entry.result.high,
                "rows": entry.result.rows,
            }
            for entry in contents.leaderboard
        ],
        "leaderboard_note": contents.leaderboard_note,
        "versus": [entry.text for entry in contents.versus],
    }


def _describe_run(part: RunPart) -> dict[str, Json]:
    run = part.facts.run
    return {
        "run_id": run.id,
        "name": run.name,
        "status": run.status.value,
        "error": run.error,
        "provider": run.provider.type,
        "base_url": run.provider.base_url,
        "model": run.model,
        "job_id": run.job_id,
        "fine_tuned_model": run.fine_tuned_model,
        "created_at": int(run.created_at.timestamp()),
        "finished_at": int(run.finished_at.timestamp()) if run.finished_at else None,
        "cost": part.facts.cost.to_json(),
        "job_file": part.facts.job_text,
        "stages": [
            {
                "stage": entry.stage.value,
                "status": entry.status.value,
                "seconds": entry.seconds,
                "detail": dict(entry.detail),
            }
            for entry in part.facts.stages
        ],
        "training": part.learning.to_json(),
        "evaluation": part.facts.evaluation.to_json() if part.facts.evaluation else None,
        "verdicts": [entry.text for entry in part.scores.verdicts] if part.scores else [],
        **(_describe_rows(part.scores) if part.scores else {}),
        "data": [_describe_remark(entry) for entry in part.facts.data],
        "lineage": [
            {"kind": entry.kind, "name": entry.name, "details": list(entry.details)}
            for entry in part.lineage
        ],
        "missing": list(part.missing),
    }


def _describe_rows(scores: EvaluationPart) -> dict[str, Json]:
    return {
        "confusions": [
            {"candidate": name, "pairs": [entry.to_json() for entry in matrix.pairs]}
            for name, matrix in scores.matrices
        ],
        "worst_rows": [entry.to_json() for entry in scores.worst],
        "examples": [entry.to_json() for entry in scores.examples],
    }


def _describe_remark(remark: DataIssue) -> dict[str, Json]:
    return {"severity": remark.severity, "message": remark.message, "advice": remark.advice}
