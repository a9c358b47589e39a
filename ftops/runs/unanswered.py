"""What the ledger does not know yet of a run's job: whether it ended, and lost answers about it."""

from ftops.ledger.ledger import Ledger
from ftops.records import Job, Run, RunStatus, Stage
from ftops.runs.context import RunContext
from ftops.runs.states import RUN_MOVES

CANCEL_CALL = "cancel_job"
PAUSE_CALL = "pause_job"
RESUME_CALL = "resume_job"


def reopen_for_job(run: Run, context: RunContext) -> Run:
    """The run; open again, from the follow stage on, when it ended before its job did."""
    if not run.ended_before_job:
        return run
    RUN_MOVES["reopen"].check(run.status)
    context.observer.on_note(
        f"{run.id} counts as {run.status}, but its job {run.job_id} was not seen to end;"
        " the run is open again"
    )
    return context.ledger.reopen_run(run, (Stage.FOLLOW, Stage.RESULTS, Stage.EVALUATE))


def record_job_end(ledger: Ledger, run: Run, job: Job) -> None:
    """The run's job was seen to end: the ledger knows how, and no request about it is in doubt."""
    ledger.record_job_end(run.id, job.id, job.status)
    close_unanswered(ledger, run, job.status)


def close_unanswered(ledger: Ledger, run: Run, status: str) -> None:
    """The run's job has ended with this status: no request about it is in doubt any more."""
    if run.job_id is None:
        return
    late = f"got no answer, and the job has {status} since"
    if status == RunStatus.CANCELLED:
        late = "got no answer, and the job was cancelled since"
        ledger.close_calls(run.id, (CANCEL_CALL,), remote_id=run.job_id)
    ledger.close_calls(run.id, (CANCEL_CALL, PAUSE_CALL, RESUME_CALL), error=late)
