"""What a stage gets and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ftops.errors import WaitedTooLong
from ftops.records import Json, Run, Stage
from ftops.runs.commands import format_follow_command
from ftops.runs.context import RunContext, get_run_folder
from ftops.spec.model import JobSpec


@dataclass(frozen=True, slots=True)
class StageContext:
    """One attempt of one stage: of which run, after which job file, with what at hand.

    `until_s` is when `limits.max_wait` is over, on the monotonic clock; None: never.
    """

    run: Run
    spec: JobSpec
    desk: RunContext
    until_s: float | None = None

    @property
    def folder(self) -> Path:
        """Where the files of the run lie."""
        return get_run_folder(self.desk.home, self.run.id)

    def sleep(self, seconds: float) -> None:
        """Let up to `seconds` pass; WaitedTooLong when `limits.max_wait` is over."""
        self.desk.clock.sleep(self.grant(seconds))

    def grant(self, seconds: float) -> float:
        """How much of so long a pause there is time for; WaitedTooLong when there is none."""
        if self.until_s is None:
            return seconds
        left_s = self.until_s - self.desk.clock.monotonic_s()
        if left_s <= 0:
            raise self._waited_too_long()
        return min(seconds, left_s)

    def _waited_too_long(self) -> WaitedTooLong:
        run_id = self.run.id
        job_id = self.desk.ledger.get_run(run_id).job_id
        left = f"; its job {job_id} may still be running at the provider" if job_id else ""
        return WaitedTooLong(
            f"{run_id} has not ended within limits.max_wait ({self.spec.limits.max_wait}){left}",
            hint=f"{format_follow_command(run_id)} goes on from here.",
        )

    def get_detail(self, stage: Stage) -> Mapping[str, Json]:
        """What another stage of the run has found out."""
        return self.desk.ledger.get_stage(self.run.id, stage).detail


@dataclass(frozen=True, slots=True)
class StageResult:
    """A stage that ended well: what it found out, or why there was nothing to do."""

    detail: Mapping[str, Json] = field(default_factory=dict)
    skipped: str | None = None
