"""Checks a provider with its real service: `ftops doctor --provider NAME --live MODEL`.

The check is an ordinary run on a few short rows, in a home of its own. Afterwards, what the run
made at the provider is deleted, also after an error or Ctrl-C.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from ftops.errors import FtopsError, NotFound, RunError
from ftops.files import write_atomic
from ftops.ledger.records import RemoteCall
from ftops.providers.provider import Provider
from ftops.records import Json, ProviderSettings, Run, Stage, StageRecord, StageStatus
from ftops.runs import deployments
from ftops.runs.cancel import UPLOAD_CALL, cancel_run
from ftops.runs.commands import format_run_command
from ftops.runs.context import RunContext, StageContext
from ftops.runs.cost import read_cost
from ftops.runs.doctor import CheckStatus, HealthCheck
from ftops.runs.open_run import drive, open_run
from ftops.runs.reconcile import CALL as CREATE_CALL
from ftops.runs.reconcile import read_request
from ftops.runs.states import ENDED
from ftops.spec.job_file import LoadedJob
from ftops.spec.model import JobSpec
from ftops.stage_results import (
    CreateResult,
    DeployResult,
    EvaluateResult,
    FollowResult,
    StageResults,
    TrainingSummary,
    UploadResult,
    find_skip_reason,
    get_value,
)
from ftops.text import format_count, format_usd

MAX_COST_USD = 1.0  # of the training; the rows cost some cents at most
CLEAN_UP = "clean-up"
_TRAINING_ROWS = 20
_VALIDATION_ROWS = 5
_MAX_DEPLOYMENT_TIME = "30m"  # the shortest idle timeout that every provider with one accepts


def write_live_job(
    folder: Path,
    settings: ProviderSettings,
    model: str,
    sections: Mapping[str, Mapping[str, Json]],
    *,
    evaluates: bool,
) -> Path:
    """Write a small job file with its data to the folder; returns the job file.

    `evaluates` adds the rows on which the model is evaluated, for which it is deployed where that
    is required. The rows are unique, so that no other run has the same files or the same key.
    """
    mark = secrets.token_hex(4)
    _write_rows(folder / "train.jsonl", mark, range(_TRAINING_ROWS))
    job: dict[str, object] = {
        "name": "live-check",
        "provider": {name: value for name, value in asdict(settings).items() if value is not None},
        "model": model,
        "suffix": "live-check",
        "training_file": "train.jsonl",
        "hyperparameters": {"n_epochs": 1},
        "limits": {"max_cost_usd": MAX_COST_USD, "max_deployment_time": _MAX_DEPLOYMENT_TIME},
        **{name: dict(section) for name, section in sections.items()},
    }
    if evaluates:
        rows = range(_TRAINING_ROWS, _TRAINING_ROWS + _VALIDATION_ROWS)
        _write_rows(folder / "validation.jsonl", mark, rows)
        job["validation_file"] = "validation.jsonl"
    path = folder / "job.yaml"
    write_atomic(path, json.dumps(job, indent=2).encode())
    return path


def _write_rows(path: Path, mark: str, numbers: range) -> None:
    rows = [
        {"prompt": f"{mark}: is {n} even or odd?", "completion": " odd" if n % 2 else " even"}
        for n in numbers
    ]
    write_atomic(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())


def describe_live_cost(spec: JobSpec, provider: Provider) -> str:
    """What the check does, and the most that it may cost."""
    deployment = deployments.describe_deployment(spec, provider)
    return (
        f"This trains {spec.model} at {provider.name} on {_TRAINING_ROWS} short rows for one epoch,"
        f" for at most {format_usd(MAX_COST_USD)}."
    ) + (f" Deployment: {deployment}." if deployment else "")


def check_live(job: LoadedJob, context: RunContext) -> list[HealthCheck]:
    """Run the job, and delete what it made; returns what held and what did not.

    Raises only errors from before anything was sent.
    """
    run = open_run(job, context)
    failure: HealthCheck | None = None
    try:
        drive(run, context)
    except FtopsError as error:
        again = f"{format_run_command(run, '--retry')} tries again."
        advice = error.hint.removeprefix(again).strip()
        failure = HealthCheck("run", error.message, context.provider.name, advice)
    except KeyboardInterrupt:
        failure = HealthCheck("run", "interrupted", context.provider.name)
    stage = StageContext.load(context.ledger.get_run(run.id), context)
    checks = [*_list_results(stage)]
    if failure is not None and all(check.what != failure.what for check in checks):
        checks.append(failure)
    elif failure is not None:  # the row of its stage says it already
        checks = [
            replace(check, next=failure.next) if check.what == failure.what else check
            for check in checks
        ]
    return [*checks, *_clean_up(stage)]


def _list_results(stage: StageContext) -> Iterator[HealthCheck]:
    records = stage.ledger.list_stages(stage.run.id)
    results = StageResults.read(records)
    for record in records:
        yield _describe_stage(stage, record, results)
    if results.create is None:
        return
    yield _check_estimate(stage, results)
    yield _check_identity(stage)
    events = len(stage.ledger.list_events(stage.run.id))
    yield _make_check(stage, "events", format_count(events, "event"), is_ok=events > 0)
    cost = read_cost(stage.ledger, stage.run.id, stage.clock.now())
    known = "unknown" if cost.usd is None else format_usd(cost.usd)
    yield _make_check(stage, "cost", f"{known} in total", is_ok=cost.usd is not None)


def _describe_stage(stage: StageContext, record: StageRecord, results: StageResults) -> HealthCheck:
    status, what = CheckStatus.SKIPPED, "not reached"
    if record.status is StageStatus.SUCCEEDED:
        status, what = CheckStatus.OK, _describe_success(record.stage, results)
    elif record.status is StageStatus.FAILED:
        status, what = CheckStatus.PROBLEM, record.error or "failed"
    elif record.status is StageStatus.SKIPPED:
        what = find_skip_reason(record) or "skipped"
    return HealthCheck(record.stage.value, what, stage.provider.name, status=status)


def _describe_success(stage: Stage, results: StageResults) -> str:
    """What the stage did."""
    match stage, results:
        case Stage.UPLOAD, StageResults(upload=UploadResult() as upload):
            return f"{upload.bytes:,} bytes"
        case Stage.CREATE, StageResults(create=CreateResult() as create):
            return create.job_id
        case Stage.FOLLOW, StageResults(follow=FollowResult() as follow):
            return follow.fine_tuned_model or "the job named no model"
        case Stage.RESULTS, StageResults(results=TrainingSummary() as summary):
            return f"metrics of {format_count(summary.rows or 0, 'step')}"
        case Stage.DEPLOY, StageResults(deploy=DeployResult() as deploy):
            return f"answers as {deploy.call_name}"
        case Stage.EVALUATE, StageResults(evaluate=EvaluateResult() as evaluation):
            return f"answered {format_count(evaluation.rows, 'row')}"
    return "done"


def _check_estimate(stage: StageContext, results: StageResults) -> HealthCheck:
    usd = results.create.estimated_cost_usd if results.create else None
    if not stage.provider.capabilities.estimates_cost:
        account = stage.provider.name
        what = "the provider estimates no costs"
        return HealthCheck("estimate", what, account, status=CheckStatus.SKIPPED)
    what = "the provider gave no estimate" if usd is None else f"{format_usd(usd)} by the provider"
    return _make_check(stage, "estimate", what, is_ok=usd is not None)


def _check_identity(stage: StageContext) -> HealthCheck:
    """Whether the job is found without its id, as after a lost answer."""
    calls = stage.ledger.list_calls(stage.run.id)
    call = next(call for call in calls if call.name == CREATE_CALL)
    try:
        job = stage.provider.find_job(read_request(call.request))
    except FtopsError as error:
        return HealthCheck("identity", error.message, stage.provider.name, error.hint)
    is_found = job is not None and job.id == stage.run.job_id
    what = "the job is found again" if is_found else "the job is not found again without its id"
    return _make_check(stage, "identity", what, is_ok=is_found)


def _make_check(stage: StageContext, check: str, what: str, *, is_ok: bool) -> HealthCheck:
    status = CheckStatus.OK if is_ok else CheckStatus.PROBLEM
    return HealthCheck(check, what, stage.provider.name, status=status)


def _clean_up(stage: StageContext) -> Iterator[HealthCheck]:
    """Cancel the job if it still runs, and delete the deployments, the models and the files."""
    provider = stage.provider
    yield from _cancel(stage)
    run = stage.ledger.get_run(stage.run.id)
    yield from _end_deployments(stage)
    for model in _list_models(stage, run):
        yield _delete(model, provider.delete_model)
    followed = stage.read_results().follow
    uploads = [upload.file_id for upload in stage.ledger.list_uploads()]
    for file_id in (*uploads, *(followed.result_files if followed else ())):
        yield _delete(file_id, provider.delete_file)
    for call in stage.ledger.list_open_calls(UPLOAD_CALL):
        yield from _delete_unanswered_upload(stage, call)


def _cancel(stage: StageContext) -> Iterator[HealthCheck]:
    if all(call.name != CREATE_CALL for call in stage.ledger.list_calls(stage.run.id)):
        return  # no job was requested
    try:
        run = stage.ledger.get_run(stage.run.id)
        if run.status not in ENDED:
            run = cancel_run(run, stage.context)
        if run.job_id is None or run.status in ENDED:
            return
    except RunError:
        return  # the job has ended before
    except FtopsError as error:
        yield HealthCheck(CLEAN_UP, f"the job may still run: {error.message}", stage.run.id)
        return
    yield HealthCheck(CLEAN_UP, "is cancelled, and has not ended yet", run.job_id)


def _end_deployments(stage: StageContext) -> Iterator[HealthCheck]:
    try:
        deployments.find_made(stage)
    except FtopsError as error:
        yield HealthCheck(CLEAN_UP, f"may have deployments: {error.message}", stage.run.id)
    for record in stage.ledger.list_deployments():
        try:
            ended = deployments.end(stage.ledger, stage.provider, record, stage.clock)
        except FtopsError as error:
            yield HealthCheck(CLEAN_UP, f"still deployed: {error.message}", record.name, error.hint)
            continue
        what = "still deployed after its deletion was accepted"
        if ended.ended_at is None:
            yield HealthCheck(CLEAN_UP, what, record.name)
        else:
            yield HealthCheck(CLEAN_UP, "ended", record.name, status=CheckStatus.OK)


def _list_models(stage: StageContext, run: Run) -> list[str]:
    """The models of the run, also one of a job whose end was not recorded."""
    models = [model.name for model in stage.ledger.list_models()]
    if run.job_id is not None and not models:
        try:
            job = stage.provider.get_job(run.job_id)
        except FtopsError:
            return models
        models += filter(None, [job.fine_tuned_model])
    return models


def _delete_unanswered_upload(stage: StageContext, call: RemoteCall) -> Iterator[HealthCheck]:
    name, size = get_value(call.request, "filename", str), get_value(call.request, "bytes", int)
    try:
        file = stage.provider.find_file(name, size)
    except FtopsError as error:
        yield HealthCheck(CLEAN_UP, f"may be uploaded: {error.message}", name, error.hint)
        return
    if file is not None:
        yield _delete(file.id, stage.provider.delete_file)


def _delete(remote_id: str, delete: Callable[[str], None]) -> HealthCheck:
    try:
        delete(remote_id)
    except NotFound:  # also a model that is nothing but files at the provider
        what = "there is none by this name; `ftops files list` shows what is kept of it"
        return HealthCheck(CLEAN_UP, what, remote_id, status=CheckStatus.SKIPPED)
    except FtopsError as error:
        return HealthCheck(CLEAN_UP, f"not deleted: {error.message}", remote_id, error.hint)
    return HealthCheck(CLEAN_UP, "deleted", remote_id, status=CheckStatus.OK)
