"""Looks for what got lost between the ledger and a provider; nothing is changed or started.

A file that ftops uploaded is told by its name. It may have been another ledger's: a colleague's, a
second FTOPS_HOME's. So one that this ledger does not know is only ever deleted one by one, by name.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ftops.errors import AuthFailed, FtopsError, NotFound
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import Provider
from ftops.records import Model, RemoteFile, Run, RunStatus
from ftops.run_folder import is_driven
from ftops.runs.checkup.findings import CheckStatus, HealthCheck
from ftops.runs.commands import format_command, format_follow_command, format_run_command
from ftops.runs.states import ENDED

_OWN_NAME = re.compile(r"ftops-[0-9a-f]{16}-(?:train|validation)\.jsonl")


def check_provider(
    provider: Provider, ledger: Ledger | None, runs: Sequence[Run]
) -> Iterator[HealthCheck]:
    """Whether the provider answers and takes the key, then what lies there; `runs` are its own.

    Without a ledger, nobody can say whose the things are that lie there.
    """
    try:
        files = list(provider.list_files())
        models = [model for model in provider.list_models() if model.fine_tuned]
    except AuthFailed as error:
        yield HealthCheck("key", CheckStatus.PROBLEM, error.message, provider.account, error.hint)
        return
    except FtopsError as error:
        yield HealthCheck(
            "provider", CheckStatus.PROBLEM, error.message, provider.account, error.hint
        )
        return
    yield HealthCheck("key", CheckStatus.OK, "accepted", provider.account)
    yield HealthCheck("provider", CheckStatus.OK, "answers", provider.account)
    if ledger is None:
        return
    yield from _check_files(provider, ledger, files)
    yield from _check_models(ledger, models, runs)
    for run in runs:
        if run.job_id is not None and (run.status not in ENDED or run.ended_before_job):
            yield from _check_job(provider, run, run.job_id)


def _check_files(
    provider: Provider, ledger: Ledger, files: Sequence[RemoteFile]
) -> Iterator[HealthCheck]:
    known = {upload.file_id for upload in ledger.list_uploads(provider.account)}
    asked = {call.request.get("filename") for call in ledger.list_open_calls("upload_file")}
    for file in files:
        if not _OWN_NAME.fullmatch(file.filename) or file.id in known or file.filename in asked:
            continue
        if ledger.is_deletion_begun(file.id):
            yield HealthCheck(
                "files",
                CheckStatus.PROBLEM,
                "`ftops prune` was about to delete it, and was interrupted",
                file.id,
                "`ftops prune --yes` finishes that.",
            )
            continue
        yield HealthCheck(
            "files",
            CheckStatus.PROBLEM,
            f"{file.filename} was uploaded by ftops, but by no run of this ledger",
            file.id,
            f"{format_command('files', 'delete', file.id)},"
            " unless another machine or FTOPS_HOME needs it.",
            mend=lambda file_id=file.id: provider.delete_file(file_id),  # type: ignore[misc]
        )


def _check_models(
    ledger: Ledger, models: Sequence[Model], runs: Sequence[Run]
) -> Iterator[HealthCheck]:
    suffixes = {str(suffix) for run in runs if (suffix := run.spec.get("suffix"))}
    for model in models:
        if ledger.find_model(model.id) is None and suffixes & set(model.id.split(":")):
            yield HealthCheck(
                "models",
                CheckStatus.PROBLEM,
                "has the suffix of runs of this ledger, but none of them made it",
                model.id,
                f"{format_command('models', 'delete', model.id)}, if nobody else needs it.",
            )


def check_drivers(runs: Sequence[Run], home: Path) -> Iterator[HealthCheck]:
    """Runs whose job may be running, or that have none yet, though no process drives them."""
    for run in runs:
        if run.ended_before_job:
            yield HealthCheck(
                "runs",
                CheckStatus.PROBLEM,
                f"it counts as {run.status}, but its job {run.job_id} was not seen to end: it may"
                " still be running, and billed",
                run.id,
                f"{format_follow_command(run.id)} continues with the job;"
                f" {format_command('cancel', run.id)} cancels it.",
            )
        if run.status is RunStatus.RUNNING and not is_driven(run, home):
            how = f"its job {run.job_id} goes on unwatched" if run.job_id else "it has no job yet"
            again = format_follow_command(run.id) if run.job_id else format_run_command(run)
            yield HealthCheck(
                "runs", CheckStatus.PROBLEM, f"nobody drives it; {how}", run.id, f"{again} goes on."
            )


def _check_job(provider: Provider, run: Run, job_id: str) -> Iterator[HealthCheck]:
    try:
        provider.get_job(job_id)
    except NotFound:
        yield HealthCheck(
            "runs",
            CheckStatus.PROBLEM,
            f"its job {job_id} is gone from the provider",
            run.id,
            f"{format_run_command(run, '--new')} starts another.",
        )
    except FtopsError as error:
        yield HealthCheck(
            "provider", CheckStatus.PROBLEM, error.message, provider.account, error.hint
        )
