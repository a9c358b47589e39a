"""How a run tells whoever watches it what happens; the watcher decides what to show."""

from typing import Protocol

from ftops.records import JobEvent, Run, Stage, StageRecord


class Observer(Protocol):
    """All methods return at once and never raise."""

    def on_run_open(self, run: Run, *, resumed: bool) -> None:
        """A run was recorded (`resumed` False) or found again by its key."""

    def on_stage_start(self, stage: Stage, attempt: int) -> None: ...

    def on_stage_end(self, record: StageRecord) -> None:
        """Succeeded, skipped or failed; also called for what an earlier command had done."""

    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        """`done` of `total` `unit` ("bytes", "steps", "rows"); total None: not known."""

    def on_job_status(self, status: str) -> None:
        """The provider's job has another status than when it was last seen."""

    def on_event(self, event: JobEvent) -> None:
        """A job event that no command has shown yet."""

    def on_note(self, text: str) -> None:
        """Something that the user should know and that is no error."""


class NullObserver:
    """Watches nothing."""

    def on_run_open(self, run: Run, *, resumed: bool) -> None: ...
    def on_stage_start(self, stage: Stage, attempt: int) -> None: ...
    def on_stage_end(self, record: StageRecord) -> None: ...
    def on_progress(self, stage: Stage, done: float, total: float | None, unit: str) -> None: ...
    def on_job_status(self, status: str) -> None: ...
    def on_event(self, event: JobEvent) -> None: ...
    def on_note(self, text: str) -> None: ...
