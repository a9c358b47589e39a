"""Opens and cancels runs of job files, and loads their results.

A run has a key, which is a hash of its job and data, and a random id.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import orjson

from ftops.errors import (
    DatasetError,
    FtopsError,
    LedgerError,
    NotFound,
    ProviderError,
    RunError,
    UnknownRun,
)
from ftops.evaluation.result import Evaluation, read_evaluation
from ftops.evaluation.rows import hash_sources
from ftops.files import measure_path, read_if_there, storage_error, write_atomic
from ftops.ledger.ledger import Ledger
from ftops.records import FAILED_JOB_STATUSES, Json, Run, RunId, RunStatus, Stage, StageRecord
from ftops.reports.results import ResultRow, read_results
from ftops.reports.training import Training, TrainingFacts, create_training
from ftops.run_folder import RunFolder
from ftops.runs.cancel import cancel_run
from ftops.runs.commands import format_run_command
from ftops.runs.context import RunContext, StageContext
from ftops.runs.deployments import requires_deployment
from ftops.runs.notifications import send_pending_of_idle_run
from ftops.runs.preprocessing import load_plan
from ftops.runs.reconcile import CALL as CREATE_CALL
from ftops.runs.reconcile import find_earlier_job, rebuild_request, record_job_end
from ftops.runs.runner import drive
from ftops.runs.states import RUN_TRANSITIONS, plan_retry
from ftops.spec.job_file import LoadedJob
from ftops.spec.model import JobSpec
from ftops.stage_results import StageResults

__all__ = [
    "FIRST_DEFAULTS",
    "cancel_job_file",
    "cancel_run",
    "drive",
    "load_evaluation",
    "load_raw_results",
    "load_results",
    "load_training",
    "make_key",
    "make_run",
    "make_run_id",
    "open_run",
    "read_training_facts",
]

_ENDED_BADLY = (RunStatus.FAILED, RunStatus.CANCELLED)
# Without characters that look or sound alike.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_TAIL = 4
_PATHS = ("training_file", "validation_file")  # the key has the hash of their content instead
# The first keys included the default of every field. These defaults stay part of all keys,
# so that the runs of earlier releases are found. A newer field is never added here.
FIRST_DEFAULTS: Mapping[str, Json] = {
    "suffix": None,
    "method": "supervised",
    "hyperparameters": {
        "n_epochs": "auto",
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
        "beta": None,
        "prompt_loss_weight": None,
        "compute_classification_metrics": None,
        "classification_n_classes": None,
        "classification_positive_class": None,
        "classification_betas": None,
    },
    "seed": None,
    "metadata": {},
    "prepare": {"format": "auto", "separator": None, "stop": None, "system": None},
    "provider": {"base_url": None, "organization": None, "project": None},
}


def open_run(
    job: LoadedJob,
    context: RunContext,
    *,
    new: bool = False,
    retry: bool = False,
    check_new: Callable[[], None] | None = None,
) -> Run:
    """Find the run of this job file and its data by key, or record one. Creates no job.

    A finished run is returned unchanged, unless its `evaluate` section has changed. RunError for a
    run that failed or was cancelled, unless `retry` reopens it. If its job is not known to have
    failed or been cancelled, the provider is queried first, and its ProviderError is raised. `new`
    records another run, and warns if two jobs may be billed. `check_new` is called before a run is
    recorded; if it raises, no run is recorded.
    """
    key = make_key(job, context.provider.account)
    if check_new is not None and (new or context.ledger.find_run_by_key(key) is None):
        check_new()
    if new:
        _warn_of_second_job(key, context)
    fresh = replace(make_run(job, context, key), force_new_job=new)
    deploys = requires_deployment(job.spec, context.provider)
    run = context.ledger.add_run(fresh, if_absent=not new, deploys=deploys)
    resumed = run.id != fresh.id
    if resumed:
        if not retry and run.status in _ENDED_BADLY:
            send_pending_of_idle_run(run, context)  # no command drives an ended run
        run = _reopen(run, job, context, retry=retry)
    if run.pruned_at is None:
        copy = RunFolder.of(context.home, run.id).job_file
        text = job.text.encode()
        if read_if_there(copy) != text:
            write_atomic(copy, text)
    context.observer.on_run_open(run, resumed=resumed)
    return run


def cancel_job_file(job: LoadedJob, context: RunContext) -> Run:
    """Cancel the run of this job file, even if another ledger has it.

    If the ledger has no such run, the provider is searched for a job with the run key of the file,
    or, if it stores no metadata, for a job with equal parameters and uploads. UnknownRun if it has
    no such job. Uploads and creates nothing.
    """
    key = make_key(job, context.provider.account)
    if known := context.ledger.find_run_by_key(key):
        return cancel_run(known, context)
    context.provider.ensure_ready()
    fresh = make_run(job, context, key)
    stage = StageContext(fresh, job.spec, context)
    request = rebuild_request(job, stage)
    found = find_earlier_job(stage, request) if request else None
    if found is None:
        raise UnknownRun(
            f"neither the ledger nor the provider knows a job of {job.path}",
            hint="A job without marks is cancelled by its id: `ftops adopt JOB_ID --detach`, then"
            " `ftops cancel JOB_ID`.",
        )
    context.observer.on_note(f"found {found.id}, which an earlier command had created")
    deploys = requires_deployment(job.spec, context.provider)
    run = context.ledger.add_run(replace(fresh, job_id=found.id), if_absent=True, deploys=deploys)
    return cancel_run(run, context)


def load_results(run: Run, home: Path) -> list[ResultRow]:
    """The rows of the run's results file; none if there is no file yet or it cannot be parsed."""
    return read_results(RunFolder.of(home, run.id).results)


def load_raw_results(run: Run, home: Path) -> bytes | None:
    """The results file as downloaded from the provider; None if the run has none."""
    return read_if_there(RunFolder.of(home, run.id).results)


def load_evaluation(run: Run, home: Path) -> Evaluation | None:
    """The evaluation of the run; None if there is none."""
    return read_evaluation(RunFolder.of(home, run.id).path)


def make_run(job: LoadedJob, context: RunContext, key: str) -> Run:
    """A new run of the job file, not recorded yet."""
    now = context.clock.now()
    return Run(
        id=make_run_id(now),
        key=key,
        name=job.spec.name,
        status=RunStatus.PENDING,
        provider=job.spec.provider_settings(),
        model=job.spec.model,
        spec=job.spec.to_json(),
        job_file=str(job.path),
        overrides=job.overrides,
        created_at=now,
        updated_at=now,
    )


def _reopen(run: Run, job: LoadedJob, context: RunContext, *, retry: bool) -> Run:
    """The known run, updated with the changes of the job file that keep its key."""
    before, spec = run.spec, job.spec.to_json()
    if retry and run.ended_before_job:
        run = _look_at_job(run, context)
    failed = run.status in _ENDED_BADLY and not run.ended_before_job
    if failed and not retry:
        ended = "failed" if run.status is RunStatus.FAILED else "was cancelled"
        raise RunError(
            f"{run.id} of this job file {ended}: {run.error or 'no reason is known'}",
            hint="`--retry` tries it again from there; `--new` starts another run.",
        )
    if (spec, str(job.path), job.overrides) != (before, run.job_file, run.overrides):
        run = context.ledger.update_spec(
            run.id, spec, job_file=str(job.path), overrides=job.overrides
        )
    if failed:
        RUN_TRANSITIONS["reopen"].check(run.status)
        return context.ledger.reopen_run(run, plan_retry(context.ledger.list_stages(run.id)))
    changed = job.spec.evaluate != JobSpec.from_json(before).evaluate or _are_rows_changed(
        run, job, context.ledger
    )
    if run.status is RunStatus.SUCCEEDED and (changed or _has_lost_evaluation(run, context)):
        RUN_TRANSITIONS["reopen"].check(run.status)
        gone = (Stage.RESULTS,) if run.pruned_at else ()
        return context.ledger.reopen_run(run, (*gone, Stage.EVALUATE))
    return run


def _look_at_job(run: Run, context: RunContext) -> Run:
    """Query the provider whether the run's job has ended; returns the updated run."""
    assert run.job_id is not None
    try:
        context.provider.ensure_ready()
        job = context.provider.get_job(run.job_id)
    except ProviderError as error:
        hint = f"{format_run_command(run, '--retry')} tries again. {error.hint}"
        if isinstance(error, NotFound):
            hint = (
                "The job may be gone, or belong to another project or key."
                f" {format_run_command(run, '--new')} creates another job;"
                " both are paid if this one runs."
            )
        raise error.reworded(
            f"{error.message}; {run.job_id} was not seen to end and may still be running,"
            " so no other job was created",
            hint,
        ) from error
    if job.ended:
        record_job_end(context.ledger, run, job)
    if job.status not in FAILED_JOB_STATUSES:
        context.observer.on_note(f"{job.id} is {job.status}: no other job is created")
    return context.ledger.get_run(run.id)


def _warn_of_second_job(key: str, context: RunContext) -> None:
    """Warn of two billed jobs, if a run with this key has a job that may not have failed."""
    for earlier in context.ledger.list_runs():
        if earlier.key == key and (state := _describe_job(earlier, context)):
            context.observer.on_note(
                f"{earlier.id} {state}; --new creates a second job: both are paid"
            )
            return


def _describe_job(run: Run, context: RunContext) -> str | None:
    """The state of the run's job; None without a job, or if it failed or was cancelled."""
    if run.job_id is None:
        open_call = context.ledger.find_open_call(run.id, CREATE_CALL)
        return "may have a job at the provider" if open_call else None
    status = run.job_status
    if status is None:
        with contextlib.suppress(FtopsError):
            status = context.provider.get_job(run.job_id).status
    if status in FAILED_JOB_STATUSES:
        return None
    return f"has the job {run.job_id} ({status or 'it may still be running'})"


def _has_lost_evaluation(run: Run, context: RunContext) -> bool:
    """Whether the evaluation of the run is missing or unreadable, so requirements have no result.

    This does not apply to a pruned run, whose evaluation was deleted on purpose.
    """
    if run.pruned_at or _read_results(run, context.ledger).evaluate is None:
        return False
    try:
        return load_evaluation(run, context.home) is None
    except LedgerError:
        return True


def _are_rows_changed(run: Run, job: LoadedJob, ledger: Ledger) -> bool:
    """Whether the content of the evaluated files has changed since the run was evaluated."""
    evaluated = _read_results(run, ledger).evaluate
    if evaluated is None or evaluated.source_sha256 is None:
        return False
    try:
        digest = hash_sources(job.spec.evaluate, job.find_data)
    except OSError as error:
        raise storage_error(error, job.path.parent) from error
    return digest is not None and digest != evaluated.source_sha256


def _read_results(run: Run, ledger: Ledger) -> StageResults:
    return StageResults.read(ledger.list_stages(run.id))


def make_key(job: LoadedJob, account: str) -> str:
    """SHA-256 of the job file's spec, the content of its data and its plan, and the account.

    Paths and names of data files are excluded, so that moving a folder does not change the key.
    Raises DatasetError if a data file cannot be read.
    """
    spec = job.spec
    parts: dict[str, object] = {
        "spec": _fill_first_defaults(spec.canonical()),
        "training": _content(job, spec.training_file),
        "validation": _content(job, spec.validation_file) if spec.validation_file else None,
        "account": account,
    }
    plan = load_plan(spec, job.path)
    if plan is not None:
        parts["plan"] = plan.to_json()
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def make_run_id(now: datetime) -> RunId:
    """A new id that sorts by time, like run-20261122-1407-k3f9."""
    tail = "".join(secrets.choice(_LETTERS) for _ in range(_TAIL))
    return RunId(f"run-{now:%Y%m%d-%H%M}-{tail}")


def _fill_first_defaults(canonical: Mapping[str, Json]) -> dict[str, Json]:
    filled = dict(FIRST_DEFAULTS)
    for name, value in canonical.items():
        default = filled.get(name)
        if isinstance(default, dict) and isinstance(value, dict):
            filled[name] = {**default, **value}
        elif name not in _PATHS:
            filled[name] = value
    return filled


def _content(job: LoadedJob, value: str) -> str:
    path = job.find_data(value)
    if path is None:
        return value  # a file at the provider; its id identifies its content
    try:
        return measure_path(path)[1]
    except OSError as error:
        raise DatasetError(f"{path}: cannot read: {error.strerror or error}") from error


def load_training(run: Run, stages: Sequence[StageRecord], home: Path) -> Training:
    """The training of the run; without steps if no results were downloaded yet."""
    return create_training(load_results(run, home), read_training_facts(stages))


def read_training_facts(stages: Sequence[StageRecord]) -> TrainingFacts:
    """The facts about the training that the stages have recorded so far."""
    results = StageResults.read(stages)
    prepared, followed = results.prepare, results.follow
    used = followed.hyperparameters if followed else {}
    return TrainingFacts(
        rows=(prepared.training.rows or None) if prepared else None,
        validation_rows=(prepared.validation.rows or None)
        if prepared and prepared.validation
        else None,
        overlap_rows=prepared.overlap_rows if prepared else None,
        n_epochs=_find_count(used, "n_epochs"),
        batch_size=_find_count(used, "batch_size"),
        trained_tokens=(followed.trained_tokens or None) if followed else None,
        checkpoints=results.results.checkpoints if results.results else (),
    )


def _find_count(values: Mapping[str, Json], name: str) -> int | None:
    """A whole number above 0; some servers send numbers as text."""
    value = values.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        return None
    return int(value)
