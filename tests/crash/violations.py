"""What must hold when a schedule has ended with an uninterrupted command."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ftops.ledger.ledger import Ledger
from ftops.records import Job, Run, RunStatus
from ftops.spec.job_file import LoadedJob
from tests.crash.faulty import FaultyProvider
from tests.crash.schedule import Schedule
from tests.fakes import FakeClock

_FILES = 2  # the training file and the validation file
NO_PROBLEM = "doctor reports no problem"


@dataclass(frozen=True)
class ScheduleRecords:
    """What the provider and the ledger have on record, and how the commands ended."""

    schedule: Schedule
    outcomes: list[tuple[str, str]]  # the action and outcome of each command that was not killed
    faults: list[str]  # the kinds of the faults that happened
    runs: list[Run]
    jobs: list[Job]  # without those in `replaceable`
    most_jobs: int  # the most running or succeeded jobs at a create
    uploads: int
    provider_events: list[str]  # the ids of the job's events at the provider, oldest first
    stored_events: list[str]
    results: bytes | None
    provider_results: bytes | None
    open_calls: int
    open_job_calls: int  # without uploads

    @classmethod
    def read(
        cls,
        folder: Path,
        provider: FaultyProvider,
        schedule: Schedule,
        job_file: LoadedJob,
        *,
        replaceable: Collection[str] = (),
    ) -> "ScheduleRecords":
        """Read the records; `replaceable` are failed and cancelled jobs of a deleted ledger.

        Without the ledger, ftops cannot know that `--retry` is missing, so another job may follow.
        """
        lines = [json.loads(line) for line in (folder / "outcomes").read_text().splitlines()]
        ledger = Ledger(folder / "home" / "ledger.db", FakeClock())
        runs = [run for run in ledger.list_runs() if run.job_file == str(job_file.path)]
        run = runs[0]
        own = f"{run.job_id}-event"  # without those of earlier attempts
        stored = [event.id for event in ledger.list_events(run.id) if event.id.startswith(own)]
        calls = ledger.list_calls(run.id)
        ledger.close()
        job = next((job for job in provider.jobs() if job.id == run.job_id), None)
        provider_events = provider.list_events(job.id, known=frozenset()) if job else []
        results = folder / "home" / "runs" / run.id / "results.csv"
        files = job.result_files if job else ()
        return cls(
            schedule=schedule,
            outcomes=[(action, outcome) for action, outcome, *_ in lines],
            faults=[kind for *_, kinds, _ in lines for kind in kinds],
            runs=runs,
            jobs=[job for job in provider.jobs() if job.id not in replaceable],
            most_jobs=max((number for *_, counts in lines for number in counts), default=0),
            uploads=provider.count("upload_file"),
            provider_events=[event.id for event in provider_events],
            stored_events=stored,
            results=results.read_bytes() if results.exists() else None,
            provider_results=provider.read_file(files[0]) if files else None,
            open_calls=sum(call.state == "intent" for call in calls),
            open_job_calls=sum(
                call.state == "intent" and call.name != "upload_file" for call in calls
            ),
        )

    @property
    def run(self) -> Run:
        return self.runs[0]

    @property
    def needs_retry(self) -> bool:
        """Whether the provider refused the run for good before it had a job."""
        is_file_refused = any(
            fault.method == "get_file" and fault.kind == "answer"
            for fault in self.schedule.all_faults
        )
        is_refused = "conflict" in self.faults or is_file_refused
        return self.run.status is RunStatus.FAILED and is_refused and not self.run.job_id


def find_violation(records: ScheduleRecords) -> str:
    """The first violation, or an empty text."""
    crashed = [outcome for _, outcome in records.outcomes if outcome.startswith("crash")]
    if crashed:
        return f"a command crashed: {crashed[0]}"
    overlooked = [outcome for _, outcome in records.outcomes if outcome.startswith(NO_PROBLEM)]
    if overlooked:
        return overlooked[0]
    expected = 1 + records.schedule.count("new")
    if not 0 < len(records.runs) <= expected:
        return f"{len(records.runs)} runs of one key"
    if records.most_jobs >= expected:
        return f"a job was created in addition to {records.most_jobs} running or succeeded jobs"
    if len(records.jobs) > expected + records.schedule.count("retry"):
        return f"{len(records.jobs)} jobs for one run key"
    if records.uploads > _FILES:
        return f"{records.uploads} uploads of {_FILES} files"
    if records.stored_events != records.provider_events[: len(records.stored_events)]:
        return f"events are {records.stored_events}, and {records.provider_events} at the provider"
    return _find_end_violation(records)


def _find_end_violation(records: ScheduleRecords) -> str:
    status = records.run.status
    own = [job for job in records.jobs if job.id == records.run.job_id] or records.jobs[:1]
    job_status = own[0].status if own else "missing"
    hidden = {fault.method for fault in records.schedule.all_faults if fault.kind == "answer"}
    if records.open_job_calls and status is not RunStatus.RUNNING:
        return f"{records.open_job_calls} calls about the job have no outcome"
    if status is RunStatus.SUCCEEDED:
        if job_status != "succeeded":
            return f"the run succeeded, and its job is {job_status}"
        is_fetched = records.results is not None and records.results == records.provider_results
        if not is_fetched and not hidden & {"get_file", "read_file"}:
            return "the run succeeded without its results"
        if records.open_calls:
            return f"{records.open_calls} calls have no outcome"
    elif status is RunStatus.FAILED:
        if job_status != "failed":
            return f"the run failed ({records.run.error}), and its job is {job_status}"
    elif status is RunStatus.CANCELLED:
        if not records.schedule.count("cancel"):
            return "the run was cancelled without a cancel command"
        return (
            ""
            if job_status in ("cancelled", "missing")
            else f"cancelled, but its job is {job_status}"
        )
    else:
        return f"an uninterrupted command left the run {status}: {records.outcomes[-1]}"
    if records.stored_events == records.provider_events or "list_events" in hidden:
        return ""
    return f"events are missing: only {records.stored_events}"
