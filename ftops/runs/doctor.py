"""Checks of `ftops doctor`: the home, the ledger, and how it differs from the provider.

The checks change and start nothing. A file that ftops uploaded is recognised by its name, but
another ledger (a colleague's, or that of a second FTOPS_HOME) may have uploaded it. So a file that
this ledger does not know is only deleted if the user names it.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from ftops.errors import AuthFailed, FtopsError, NotFound
from ftops.files import PRIVATE_DIR, remove_path
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import Provider
from ftops.records import Model, RemoteFile, Run, RunStatus
from ftops.run_folder import PRUNED_PREFIX, RunFolder, get_runs_folder, is_driven
from ftops.runs.commands import format_command, format_follow_command, format_run_command
from ftops.runs.deployments import NAME_PREFIX, list_overdue
from ftops.runs.states import ENDED


class CheckStatus(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    SKIPPED = "skipped"  # not checked, which is no problem
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The result of one check.

    `fix` repairs it. A `safe` fix loses nothing; any other may delete what belongs to another user
    and needs a confirmation.
    """

    check: str  # home, ledger, engine, clock, key, provider, deployments, runs, files, models
    what: str
    where: str
    next: str = ""
    fix: Callable[[], None] | None = None
    safe: bool = False
    status: CheckStatus = CheckStatus.PROBLEM


MIN_FREE_BYTES = 500_000_000


def check_home(home: Path) -> Iterator[HealthCheck]:
    """Check that the folder exists, is writable and private, and has free disk space."""
    if not home.is_dir():
        yield HealthCheck(
            "home",
            "the home is no folder" if home.exists() else "the home does not exist",
            str(home),
            "`ftops run` makes it; or point FTOPS_HOME at the folder that you mean.",
        )
        return
    problems = list(_list_home_problems(home))
    yield from problems
    if not problems:
        yield HealthCheck(
            "home",
            "there, writable, private, with free space on the disk",
            str(home),
            status=CheckStatus.OK,
        )


def _list_home_problems(home: Path) -> Iterator[HealthCheck]:
    where = str(home)
    if not os.access(home, os.W_OK | os.X_OK):
        yield HealthCheck("home", "cannot be written", where, f"chmod u+rwx {where}")
    if home.stat().st_mode & 0o077:
        yield HealthCheck(
            "home",
            "others on this machine may look into it",
            where,
            f"chmod 700 {where}",
            fix=lambda: home.chmod(PRIVATE_DIR),
            safe=True,
        )
    free = shutil.disk_usage(home).free
    if free < MIN_FREE_BYTES:
        yield HealthCheck(
            "home",
            f"only {free / 1e6:.0f} MB are free on its disk",
            where,
            "Free some space: `ftops prune` shows what old runs take.",
        )


def check_ledger(ledger: Ledger) -> HealthCheck:
    """Check every page and every row of the file for damage."""
    where = str(ledger.path)
    try:
        complaints = ledger.list_damages()
    except FtopsError as error:
        return HealthCheck("ledger", error.message, where, error.hint)
    if not complaints:
        return HealthCheck("ledger", "sound", where, status=CheckStatus.OK)
    return HealthCheck(
        "ledger",
        f"damaged: {complaints[0]}",
        where,
        "`ftops restore FILE` restores a backup. Without one, move it away: `ftops run` then finds"
        " the jobs of job files at their provider.",
    )


def check_folders(home: Path, ledger: Ledger) -> Iterator[HealthCheck]:
    """Find folders of runs that the ledger does not know."""
    runs = get_runs_folder(home)
    if not runs.is_dir():
        return
    known = {run.id for run in ledger.list_runs()}
    for folder in sorted(path for path in runs.iterdir() if path.name not in known):
        if folder.name.startswith(PRUNED_PREFIX):
            yield HealthCheck(
                "runs",
                "left by `ftops prune`, which was interrupted",
                str(folder),
                "`ftops prune --yes` or `ftops doctor --fix` removes it.",
                fix=partial(remove_path, folder),
                safe=True,
            )
            continue
        empty = folder.is_dir() and list(folder.iterdir()) in ([], [RunFolder(folder).lock])
        yield HealthCheck(
            "runs",
            "an empty folder of no run" if empty else "lies among the runs, but is of none",
            str(folder),
            "`ftops doctor --fix` removes it." if empty else "Look into it; nothing here needs it.",
            fix=partial(remove_path, folder),
            safe=empty,
        )


_OWN_NAME = re.compile(r"ftops-[0-9a-f]{16}-(?:train|validation)\.jsonl")


def check_provider(
    provider: Provider, ledger: Ledger | None, runs: Sequence[Run]
) -> Iterator[HealthCheck]:
    """Check the provider's connection, key, files and models; `runs` are the runs there.

    Without a ledger, files and models are not checked, because their owner is not known.
    """
    try:
        files = list(provider.list_files())
        models = [model for model in provider.list_models() if model.fine_tuned]
    except AuthFailed as error:
        yield HealthCheck("key", error.message, provider.account, error.hint)
        return
    except FtopsError as error:
        yield HealthCheck("provider", error.message, provider.account, error.hint)
        return
    yield HealthCheck("key", "accepted", provider.account, status=CheckStatus.OK)
    yield HealthCheck("provider", "answers", provider.account, status=CheckStatus.OK)
    if ledger is None:
        return
    yield from _check_deployments(provider, ledger)
    yield from _check_files(provider, ledger, files)
    yield from _check_models(ledger, models, runs)
    for run in runs:
        if run.job_id is not None and (run.status not in ENDED or run.ended_before_job):
            yield from _check_job(provider, run, run.job_id)


def _check_deployments(provider: Provider, ledger: Ledger) -> Iterator[HealthCheck]:
    """List what is deployed, and find what no command of this ledger would end."""
    known = {record.id: record for record in ledger.list_deployments()}
    overdue = {record.id for record in list_overdue(ledger, provider.clock)}
    try:
        there = list(provider.list_deployments())
    except FtopsError as error:
        yield HealthCheck("deployments", error.message, provider.account, error.hint)
        return
    for deployment in there:
        if deployment.ended:
            continue
        price = (
            "" if deployment.hourly_usd is None else f" for ${deployment.hourly_usd:,.2f} an hour"
        )
        what = f"{deployment.name} is {deployment.status}{price}"
        again = f"{format_command('undeploy', deployment.name)} ends it."
        if deployment.id in overdue:
            yield HealthCheck("deployments", f"{what}, and its time is over", deployment.id, again)
        elif deployment.id in known:
            yield HealthCheck("deployments", what, deployment.id, again, status=CheckStatus.OK)
        else:
            ours = NAME_PREFIX in deployment.name
            yield HealthCheck(
                "deployments",
                f"{what}, and this ledger does not know it",
                deployment.id,
                "--fix ends it, unless another machine or FTOPS_HOME needs it.",
                fix=partial(provider.delete_deployment, deployment.id),
                status=CheckStatus.PROBLEM if ours else CheckStatus.SKIPPED,
            )


def _check_files(
    provider: Provider, ledger: Ledger, files: Sequence[RemoteFile]
) -> Iterator[HealthCheck]:
    known = {upload.file_id for upload in ledger.list_uploads(provider.account)}
    uploading = {call.request.get("filename") for call in ledger.list_open_calls("upload_file")}
    for file in files:
        if not _OWN_NAME.fullmatch(file.filename) or file.id in known or file.filename in uploading:
            continue
        if ledger.is_deletion_begun(file.id):
            yield HealthCheck(
                "files",
                "`ftops prune` was about to delete it, and was interrupted",
                file.id,
                "`ftops prune --yes` finishes that.",
            )
            continue
        yield HealthCheck(
            "files",
            f"{file.filename} was uploaded by ftops, but by no run of this ledger",
            file.id,
            f"{format_command('files', 'delete', file.id)},"
            " unless another machine or FTOPS_HOME needs it.",
            fix=lambda file_id=file.id: provider.delete_file(file_id),  # type: ignore[misc]
        )


def _check_models(
    ledger: Ledger, models: Sequence[Model], runs: Sequence[Run]
) -> Iterator[HealthCheck]:
    suffixes = {str(suffix) for run in runs if (suffix := run.spec.get("suffix"))}
    for model in models:
        if ledger.find_model(model.id) is None and suffixes & set(model.id.split(":")):
            yield HealthCheck(
                "models",
                "has the suffix of runs of this ledger, but none of them made it",
                model.id,
                f"{format_command('models', 'delete', model.id)}, if it is not needed elsewhere.",
            )


def check_drivers(runs: Sequence[Run], home: Path) -> Iterator[HealthCheck]:
    """Find open runs that no process drives, and ended runs whose job may still be running."""
    for run in runs:
        if run.ended_before_job:
            yield HealthCheck(
                "runs",
                f"it counts as {run.status}, but its job {run.job_id} was not seen to end: it may"
                " still be running, and billed",
                run.id,
                f"{format_follow_command(run.id)} continues with the job;"
                f" {format_command('cancel', run.id)} cancels it.",
            )
        if run.status is RunStatus.RUNNING and not is_driven(run, home):
            how = f"its job {run.job_id} continues unwatched" if run.job_id else "it has no job yet"
            again = format_follow_command(run.id) if run.job_id else format_run_command(run)
            yield HealthCheck("runs", f"no process drives it; {how}", run.id, f"{again} continues.")


def _check_job(provider: Provider, run: Run, job_id: str) -> Iterator[HealthCheck]:
    try:
        provider.get_job(job_id)
    except NotFound:
        yield HealthCheck(
            "runs",
            f"its job {job_id} is gone from the provider",
            run.id,
            f"{format_run_command(run, '--new')} starts another.",
        )
    except FtopsError as error:
        yield HealthCheck("provider", error.message, provider.account, error.hint)
