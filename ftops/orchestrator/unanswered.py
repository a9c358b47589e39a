"""Requests about a job whose answers nobody has heard: what came of them, the job's end tells."""

from ftops.ledger.ledger import Ledger
from ftops.records import Run, RunStatus

CANCEL_CALL = "cancel_job"
PAUSE_CALL = "pause_job"
RESUME_CALL = "resume_job"


def close_unanswered(ledger: Ledger, run: Run, status: str) -> None:
    """The run's job has ended with this status: no request about it is in doubt any more."""
    if run.job_id is None:
        return
    late = f"got no answer, and the job has {status} since"
    if status == RunStatus.CANCELLED:
        late = "got no answer, and the job was cancelled since"
        ledger.close_calls(run.id, (CANCEL_CALL,), remote_id=run.job_id)
    ledger.close_calls(run.id, (CANCEL_CALL, PAUSE_CALL, RESUME_CALL), error=late)
