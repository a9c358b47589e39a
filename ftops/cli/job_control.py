"""`ftops cancel`, `ftops pause` and `ftops resume`: control the job of a run at its provider."""

from collections.abc import Callable
from pathlib import Path

from ftops.cli.command import command
from ftops.cli.environment import open_ledger
from ftops.cli.job_file import load_job_file
from ftops.cli.options import ApprovalOptions, RunRef
from ftops.cli.output import Output
from ftops.cli.run import warn_of_code
from ftops.cli.run_context import open_run_context
from ftops.cli.run_view import run_document
from ftops.cli.trust import approve
from ftops.records import Job, Run, RunStatus
from ftops.runs.commands import format_follow_command
from ftops.runs.context import RunContext
from ftops.runs.observer import NullObserver
from ftops.runs.open_run import cancel_job_file, cancel_run
from ftops.runs.pause import make_too_late_error, pause_run, resume_run
from ftops.spec.job_file import list_code


@command("pause", examples=["ftops pause run-20261122-1407-k3f9"])
def pause(out: Output, ref: RunRef) -> None:
    """Pause the fine-tuning job.

    Its progress is kept. A command that follows the run continues to follow it.
    """
    _change(out, ref, pause_run)


@command("resume", examples=["ftops resume run-20261122-1407-k3f9"])
def resume(out: Output, ref: RunRef) -> None:
    """Resume a paused fine-tuning job. `ftops follow` continues the run."""
    _change(out, ref, resume_run)


def _change(out: Output, ref: str, change: Callable[[Run, RunContext], Job]) -> None:
    with open_ledger() as ledger:
        run = ledger.get_run(ref)
        out.about = {"run_id": run.id, "job_id": run.job_id}
        with open_run_context(ledger, run.provider, NullObserver()) as context:
            job = change(run, context)
    out.finish(
        {**run_document(run), "job_status": job.status},
        essential=[job.status],
        human=lambda: [
            f"{run.id}: the job {job.id} is {job.status}."
            f" `{format_follow_command(run.id)}` continues the run."
        ],
    )


@command("cancel", examples=["ftops cancel run-20261122-1407-k3f9", "ftops cancel job.yaml"])
def cancel(out: Output, ref: RunRef, *, approvals: ApprovalOptions) -> None:
    """Cancel the fine-tuning job of a run.

    ID may also be a job file: its job is then found even without a ledger. A run that has succeeded
    or failed cannot be cancelled; cancelling a cancelled run changes nothing.
    """
    with open_ledger() as ledger:
        if Path(ref).is_file():
            # Data outside its folder is only hashed, to find the run.
            job = load_job_file(Path(ref), [], allow_outside=True)
            warn_of_code(out, list_code(job.spec, job.path))
            approve(out, job, approvals)
            with open_run_context(ledger, job.spec.provider_settings(), NullObserver()) as context:
                run = cancel_job_file(job, context)
        else:
            run = ledger.get_run(ref)
            with open_run_context(ledger, run.provider, NullObserver()) as context:
                run = cancel_run(run, context)
    if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED):
        out.about = {"run_id": run.id, "job_id": run.job_id}
        raise make_too_late_error(run, "cancelled")
    out.finish(
        run_document(run),
        essential=[run.status.value],
        human=lambda: [_describe_cancelled(run)],
    )


def _describe_cancelled(run: Run) -> str:
    if run.finished_at is None:
        return (
            f"{run.id} is not cancelled yet: the provider has accepted the request to cancel"
            f" {run.job_id}. `ftops follow {run.id}` waits for its end."
        )
    return f"{run.id} was {run.status.value}."
