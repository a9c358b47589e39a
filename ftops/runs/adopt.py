"""Adds a job that was created elsewhere to the ledger as a run. Creates and sends nothing.

The run is recorded together with its job, so that an interrupted command cannot leave a run that
would create a second job.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import orjson
from pydantic import ValidationError

from ftops.errors import RunError
from ftops.files import write_atomic
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import RUN_ID_METADATA, RUN_KEY_METADATA
from ftops.records import Job, JobRequest, Json, ProviderSettings, Run, RunId, Stage
from ftops.run_folder import RunFolder, hold_run
from ftops.runs.commands import format_command, format_follow_command
from ftops.runs.context import RunContext
from ftops.runs.deployments import requires_deployment
from ftops.runs.open_run import make_key, make_run
from ftops.runs.reconcile import CALL as CREATE_CALL
from ftops.runs.reconcile import render_request
from ftops.runs.states import STAGE_TRANSITIONS
from ftops.spec.job_file import LoadedJob
from ftops.spec.model import HyperparameterSpec
from ftops.stage_results import CreateResult, PreparedData, PreparedFile, UploadResult

LoadJob = Callable[[Path], LoadedJob]
_UNNAMED = re.compile(r"[^A-Za-z0-9._-]+")


def adopt_job(
    job_id: str,
    context: RunContext,
    settings: ProviderSettings,
    load: LoadJob,
    *,
    job_file: LoadedJob | None = None,
) -> Run:
    """Record a run for the job, which continues like any other run from its follow stage.

    With a job file, the run belongs to that file: the same file finds the run, and configures its
    evaluation. Without one, a job file is written for the job and read with `load`; nothing is
    evaluated. If a run already has the job and ended before the end of the job was recorded, that
    run is returned. So is a run that requested the job and has none yet, because it would create
    another one.
    RunError if the job belongs to any other run, or if the file already has another run.
    """
    if known := find_run_to_reopen(job_id, context.ledger):
        context.observer.on_run_open(known, resumed=True)
        return known
    context.provider.ensure_ready()
    job = context.provider.get_job(job_id)
    if maker := _find_maker(job, context):
        context.observer.on_run_open(maker, resumed=True)
        return maker
    if job_file:
        _check_same_model(job, job_file)
    loaded = job_file or load(_write_job_file(job, context, settings))
    key = make_key(loaded, context.provider.account)
    if known := context.ledger.find_run_by_key(key):
        raise RunError(
            f"{loaded.path} has a run already: {known.id}",
            hint=f"Leave the job file out: {format_command('adopt', job_id)}.",
        )
    run = replace(make_run(loaded, context, key), job_id=job.id)
    deploys = requires_deployment(loaded.spec, context.provider)
    run = context.ledger.add_run(run, if_absent=True, deploys=deploys)
    write_atomic(RunFolder.of(context.home, run.id).job_file, loaded.text.encode())
    if job_file is None:
        _record(context.ledger, run.id, Stage.PREPARE, "succeed", _describe_files(job, context))
    files = UploadResult(job.training_file or "", job.validation_file).to_json()
    files["reason"] = "the job has its files"
    _record(context.ledger, run.id, Stage.UPLOAD, "skip", files)
    created = CreateResult(job.id, job.model, adopted=True).to_json()
    _record(context.ledger, run.id, Stage.CREATE, "succeed", created)
    context.observer.on_run_open(run, resumed=False)
    return run


def find_run_to_reopen(job_id: str, ledger: Ledger) -> Run | None:
    """The run that has this job and ended before the end of the job was recorded.

    None for a job that the ledger does not know; RunError for a job of any other run.
    """
    run = ledger.find_run_of_job(job_id)
    if run is None or (run.job_id == job_id and run.ended_before_job):
        return run
    raise RunError(
        f"{job_id} is known already: it is a job of {run.id}",
        hint=f"{format_follow_command(run.id)} continues it;"
        f" {format_command('show', run.id)} shows it.",
    )


def _find_maker(job: Job, context: RunContext) -> Run | None:
    """The run whose request for the job has no recorded response; the job is assigned to it."""
    ledger = context.ledger
    run_id = RunId(job.metadata.get(RUN_ID_METADATA, "").partition(".")[0])
    if not ledger.has_run(run_id):
        return None
    run = ledger.get_run(run_id)
    with hold_run(run, context.home) as held:
        run = ledger.get_run(run_id)
        if held and run.job_id is None:
            request = JobRequest(
                job.model, job.training_file or "", job.validation_file, metadata=job.metadata
            )
            call = ledger.find_open_call(run_id, CREATE_CALL) or ledger.record_intent(
                run_id, Stage.CREATE, CREATE_CALL, render_request(request)
            )
            ledger.record_job(call, job.id)
    run = ledger.get_run(run_id)
    return run if run.job_id in (None, job.id) else None


def _check_same_model(job: Job, job_file: LoadedJob) -> None:
    wanted = job_file.spec.model
    # The provider returns an alias such as gpt-4o-mini with its date.
    if not (job.model.startswith(wanted) or wanted.startswith(job.model)):
        raise RunError(
            f"{job.id} trains {job.model}, and {job_file.path} says {wanted}",
            hint="Name the job file that the job was made from, or none.",
        )


def _write_job_file(job: Job, context: RunContext, settings: ProviderSettings) -> Path:
    """Write a job file for the job (as JSON, which is valid YAML)."""
    if not job.training_file:
        raise RunError(
            f"the provider does not tell what {job.id} was trained on",
            hint=f"Name its job file: {format_command('adopt', job.id, 'JOB.yaml')}.",
        )
    name = _UNNAMED.sub("-", job.id).strip("-._")[:64]
    fields: dict[str, Json] = {
        "name": name,
        "provider": {key: value for key, value in asdict(settings).items() if value is not None},
        "model": job.model,
        "training_file": job.training_file,
        # A job file may not name the same file twice.
        "validation_file": job.validation_file
        if job.validation_file != job.training_file
        else None,
        "hyperparameters": _choose_hyperparameters(job),
        "seed": job.seed if settings.protocol == "current" else None,
        "metadata": {
            key: value
            for key, value in job.metadata.items()
            if key not in (RUN_ID_METADATA, RUN_KEY_METADATA)
        },
    }
    path = context.home / "adopted" / f"{name}.yaml"
    text = orjson.dumps(
        {key: value for key, value in fields.items() if value not in (None, {})},
        option=orjson.OPT_INDENT_2,
    )
    write_atomic(path, text + b"\n")
    return path


def _choose_hyperparameters(job: Job) -> dict[str, Json]:
    """The job's hyperparameters that a job file can have."""
    chosen: dict[str, Json] = {}
    for name, value in job.hyperparameters.items():
        try:
            HyperparameterSpec.model_validate({name: value})
        except ValidationError:
            continue
        chosen[name] = value
    return chosen


def _describe_files(job: Job, context: RunContext) -> dict[str, Json]:
    """The result of the prepare stage for files at the provider."""
    training, validation = job.training_file or "", job.validation_file
    return PreparedData(
        row_format=context.provider.row_format(job.model),
        separator="",
        stop=None,
        training=PreparedFile("train", training, file_id=training),
        validation=PreparedFile("validation", validation, file_id=validation)
        if validation
        else None,
    ).to_json()


def _record(
    ledger: Ledger, run_id: RunId, stage: Stage, transition: str, detail: dict[str, Json]
) -> None:
    record = ledger.get_stage(run_id, stage)
    running = ledger.move_stage(run_id, record, STAGE_TRANSITIONS["begin"].check(record.status))
    ledger.move_stage(
        run_id, running, STAGE_TRANSITIONS[transition].check(running.status), detail=detail
    )
