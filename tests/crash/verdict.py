"""What must be true when a schedule has ended with a command that nobody disturbed."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ftops.ledger.ledger import Ledger
from ftops.records import Job, Run, RunStatus
from tests.crash.faulty import FaultyProvider
from tests.crash.schedule import Schedule
from tests.fakes import FakeClock

_FILES = 2  # the training file and the validation file


@dataclass(frozen=True)
class Story:
    """What the provider and the ledger have on record, and how the commands ended."""

    schedule: Schedule
    outcomes: list[tuple[str, str]]  # each command that lived to its end, and how it ended
    met: list[str]  # the faults that happened
    runs: list[Run]
    jobs: list[Job]  # without those that may be followed by another
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
        *,
        excused: Collection[str] = (),
    ) -> "Story":
        """`excused`: jobs that had ended badly when a ledger was deleted. Nothing tells then that
        `--retry` was not meant, and they cost nothing any more: such a job may be followed by
        another."""
        lines = [json.loads(line) for line in (folder / "outcomes").read_text().splitlines()]
        ledger = Ledger(folder / "home" / "ledger.db", FakeClock())
        runs = ledger.list_runs()
        run = runs[0]
        stored = [event.id for event in ledger.list_events(run.id)]
        calls = ledger.list_calls(run.id)
        ledger.close()
        job = next((job for job in provider.jobs() if job.id == run.job_id), None)
        told = provider.list_events(job.id, known=frozenset()) if job else []
        results = folder / "home" / "runs" / run.id / "results.csv"
        files = job.result_files if job else ()
        return cls(
            schedule=schedule,
            outcomes=[(action, outcome) for action, outcome, _ in lines],
            met=[kind for *_, kinds in lines for kind in kinds],
            runs=runs,
            jobs=[job for job in provider.jobs() if job.id not in excused],
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
        return (
            self.run.status is RunStatus.FAILED and "conflict" in self.met and not self.run.job_id
        )


def judge(story: Story) -> str:
    """The first violation, or nothing."""
    crashed = [outcome for _, outcome in story.outcomes if outcome.startswith("crash")]
    if crashed:
        return f"a command ended by a bug: {crashed[0]}"
    if len(story.runs) != 1:
        return f"{len(story.runs)} runs of one key"
    if len(story.jobs) > 1:
        return f"{len(story.jobs)} jobs for one run key"
    if story.uploads > _FILES:
        return f"{story.uploads} uploads of {_FILES} files"
    if story.stored != story.told[: len(story.stored)]:
        return f"events are stored as {story.stored}, and were told as {story.told}"
    return _judge_end(story)


def _judge_end(story: Story) -> str:
    status, job = story.run.status, story.jobs[0] if story.jobs else None
    there = job.status if job else "never made"
    if story.open_job_calls and status is not RunStatus.RUNNING:
        return f"{story.open_job_calls} calls about the job are still in doubt"
    if status is RunStatus.SUCCEEDED:
        if there != "succeeded":
            return f"the run succeeded, and its job is {there}"
        if story.results is None or story.results != story.results_there:
            return "the run succeeded without its results"
        if story.open_calls:
            return f"{story.open_calls} calls are still in doubt"
    elif status is RunStatus.FAILED:
        if there != "failed":
            return f"the run failed ({story.run.error}), and its job is {there}"
    elif status is RunStatus.CANCELLED:
        if not _is_cancel_given(story.schedule):
            return "the run was cancelled, and nobody asked for it"
        return "" if there in ("cancelled", "never made") else f"cancelled, but its job is {there}"
    else:
        return f"an undisturbed command left the run {status}: {story.outcomes[-1]}"
    return "" if story.stored == story.told else f"events are missing: only {story.stored}"


def _is_cancel_given(schedule: Schedule) -> bool:
    actions = [
        action
        for command in schedule.commands
        for action in (command.action, command.second.action if command.second else "")
    ]
    return "cancel" in actions
