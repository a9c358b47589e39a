"""What must be true when a schedule has ended with a command that nobody disturbed."""

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
HEALTHY = "the check found nothing"


@dataclass(frozen=True)
class Story:
    """What the provider and the ledger have on record, and how the commands ended."""

    schedule: Schedule
    outcomes: list[tuple[str, str]]  # each command that lived to its end, and how it ended
    met: list[str]  # the faults that happened
    runs: list[Run]
    jobs: list[Job]  # without those that may be followed by another
    created_beside: int  # the most jobs that lived or had succeeded as another was created
    uploads: int
    told: list[str]  # the events of the run's job at the provider, oldest first
    stored: list[str]
    results: bytes | None
    results_there: bytes | None
    open_calls: int
    open_job_calls: int  # of these, the ones that were about the job

    @classmethod
    def read(
        cls,
        folder: Path,
        provider: FaultyProvider,
        schedule: Schedule,
        job_file: LoadedJob,
        *,
        excused: Collection[str] = (),
    ) -> "Story":
        """`excused`: jobs that had ended badly when a ledger was deleted. Nothing tells then that
        `--retry` was not meant, and they cost nothing any more: such a job may be followed by
        another."""
        lines = [json.loads(line) for line in (folder / "outcomes").read_text().splitlines()]
        ledger = Ledger(folder / "home" / "ledger.db", FakeClock())
        runs = [run for run in ledger.list_runs() if run.job_file == str(job_file.path)]
        run = runs[0]
        own = f"{run.job_id}-event"  # without those of a job that was tried before
        stored = [one.id for one in ledger.list_events(run.id) if one.id.startswith(own)]
        calls = ledger.list_calls(run.id)
        ledger.close()
        job = next((job for job in provider.jobs() if job.id == run.job_id), None)
        told = provider.list_events(job.id, known=frozenset()) if job else []
        results = folder / "home" / "runs" / run.id / "results.csv"
        files = job.result_files if job else ()
        return cls(
            schedule=schedule,
            outcomes=[(action, outcome) for action, outcome, *_ in lines],
            met=[kind for *_, kinds, _ in lines for kind in kinds],
            runs=runs,
            jobs=[job for job in provider.jobs() if job.id not in excused],
            created_beside=max((number for *_, counts in lines for number in counts), default=0),
            uploads=provider.count("upload_file"),
            told=[event.id for event in told],
            stored=stored,
            results=results.read_bytes() if results.exists() else None,
            results_there=provider.read_file(files[0]) if files else None,
            open_calls=sum(call.state == "intent" for call in calls),
            open_job_calls=sum(
                call.state == "intent" and call.name != "upload_file" for call in calls
            ),
        )

    @property
    def run(self) -> Run:
        return self.runs[0]

    @property
    def may_be_tried_again(self) -> bool:
        """Refused by the provider for good, and without a job: the user says --retry."""
        is_file_refused = any(
            fault.method == "get_file" and fault.kind == "answer"
            for fault in self.schedule.all_faults
        )
        is_refused = "conflict" in self.met or is_file_refused
        return self.run.status is RunStatus.FAILED and is_refused and not self.run.job_id


def judge(story: Story) -> str:
    """The first violation, or nothing."""
    crashed = [outcome for _, outcome in story.outcomes if outcome.startswith("crash")]
    if crashed:
        return f"a command ended by a bug: {crashed[0]}"
    overlooked = [outcome for _, outcome in story.outcomes if outcome.startswith(HEALTHY)]
    if overlooked:
        return overlooked[0]
    wanted = 1 + story.schedule.count("new")
    if not 0 < len(story.runs) <= wanted:
        return f"{len(story.runs)} runs of one key"
    if story.created_beside >= wanted:
        return f"a job was created beside {story.created_beside} that had not ended badly"
    if len(story.jobs) > wanted + story.schedule.count("retry"):
        return f"{len(story.jobs)} jobs for one run key"
    if story.uploads > _FILES:
        return f"{story.uploads} uploads of {_FILES} files"
    if story.stored != story.told[: len(story.stored)]:
        return f"events are stored as {story.stored}, and were told as {story.told}"
    return _judge_end(story)


def _judge_end(story: Story) -> str:
    status = story.run.status
    own = [job for job in story.jobs if job.id == story.run.job_id] or story.jobs[:1]
    there = own[0].status if own else "never made"
    hidden = {fault.method for fault in story.schedule.all_faults if fault.kind == "answer"}
    if story.open_job_calls and status is not RunStatus.RUNNING:
        return f"{story.open_job_calls} calls about the job are still in doubt"
    if status is RunStatus.SUCCEEDED:
        if there != "succeeded":
            return f"the run succeeded, and its job is {there}"
        is_fetched = story.results is not None and story.results == story.results_there
        if not is_fetched and not hidden & {"get_file", "read_file"}:
            return "the run succeeded without its results"
        if story.open_calls:
            return f"{story.open_calls} calls are still in doubt"
    elif status is RunStatus.FAILED:
        if there != "failed":
            return f"the run failed ({story.run.error}), and its job is {there}"
    elif status is RunStatus.CANCELLED:
        if not story.schedule.count("cancel"):
            return "the run was cancelled, and nobody asked for it"
        return "" if there in ("cancelled", "never made") else f"cancelled, but its job is {there}"
    else:
        return f"an undisturbed command left the run {status}: {story.outcomes[-1]}"
    if story.stored == story.told or "list_events" in hidden:
        return ""
    return f"events are missing: only {story.stored}"
