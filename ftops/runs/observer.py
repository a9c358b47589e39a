"""How a run tells whoever watches it what happens; the watcher decides what to show."""

from typing import Protocol

from ftops.records import JobEvent, Run, Stage, StageRecord


class Observer(Protocol):
    """All methods return at once and never raise."""

    def run_opened(self, run: Run, *, resumed: bool) -> None:
        """A run was recorded (`resumed` False) or found again by its key."""

    def stage_began(self, stage: Stage, attempt: int) -> None: ...

    def stage_ended(self, record: StageRecord) -> None:
        """Succeeded, skipped or failed; also called for what an earlier command had done."""

    def progressed(self, stage: Stage, done: float, total: float | None, unit: str) -> None:
        """`done` of `total` `unit` ("bytes", "steps", "rows"); total None: not known."""

    def job_changed(self, status: str) -> None:
        """The provider's job has another status than when it was last seen."""

    def event(self, event: JobEvent) -> None:
        """A job event that no command has shown yet."""

    def noted(self, text: str) -> None:
        """Something that the user should know and that is no error."""


class NullObserver:
    """Watches nothing."""

    def run_opened(self, run: Run, *, resumed: bool) -> None: ...
    def stage_began(self, stage: Stage, attempt: int) -> None: ...
    def stage_ended(self, record: StageRecord) -> None: ...
    def progressed(self, stage: Stage, done: float, total: float | None, unit: str) -> None: ...
    def job_changed(self, status: str) -> None: ...
    def event(self, event: JobEvent) -> None: ...
    def noted(self, text: str) -> None: ...
