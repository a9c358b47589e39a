"""The context of runs and of one run: clock, ledger, provider, observer and so on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ftops.clock import Clock
from ftops.errors import LedgerError, RunError, WaitedTooLong
from ftops.exports.exporter import Exporter, NullExporter
from ftops.ledger.ledger import Ledger
from ftops.notifications.notification import Notifier, NullNotifier
from ftops.providers.provider import Provider
from ftops.records import Json, ProviderSettings, Run
from ftops.run_folder import RunFolder
from ftops.runs.commands import format_follow_command
from ftops.runs.estimate import TokenCounter
from ftops.runs.observer import Observer
from ftops.spec.job_file import resolve_data
from ftops.spec.model import JobSpec
from ftops.stage_results import PreparedData, StageResults


def _refuse_other_providers(settings: ProviderSettings) -> Provider:
    raise RunError(f"the provider {settings.type!r} cannot be opened here")


@dataclass(frozen=True, slots=True)
class RunContext:
    """The ledger, the run's provider, the clock and the outputs; `home` is FTOPS_HOME.

    `open_provider` opens the providers of the models that the evaluation compares. With
    `allow_open_ended`, a deployment may cost by the hour until ftops ends it.
    """

    ledger: Ledger
    provider: Provider
    clock: Clock
    home: Path
    observer: Observer
    notifier: Notifier = field(default_factory=NullNotifier)
    exporter: Exporter = field(default_factory=NullExporter)
    tokens: TokenCounter = field(default_factory=TokenCounter)
    open_provider: Callable[[ProviderSettings], Provider] = field(default=_refuse_other_providers)
    allow_open_ended: bool = False


@dataclass(frozen=True, slots=True)
class StageContext:
    """A run with its validated spec, as its stages get it.

    `until_s` is when `limits.max_wait` expires, on the monotonic clock; None: never.
    """

    run: Run
    spec: JobSpec
    context: RunContext
    until_s: float | None = None

    @classmethod
    def load(cls, run: Run, context: RunContext) -> "StageContext":
        """Validate the recorded spec of the run."""
        return cls(run, JobSpec.from_json(run.spec), context)

    @property
    def ledger(self) -> Ledger:
        return self.context.ledger

    @property
    def provider(self) -> Provider:
        return self.context.provider

    @property
    def clock(self) -> Clock:
        return self.context.clock

    @property
    def observer(self) -> Observer:
        return self.context.observer

    @property
    def folder(self) -> RunFolder:
        return RunFolder.of(self.context.home, self.run.id)

    def find_data(self, value: str) -> Path | None:
        """The absolute path of a data file; None for the id of an uploaded file."""
        return resolve_data(Path(self.run.job_file), value, self.provider.capabilities.naming)

    def sleep(self, seconds: float) -> None:
        """Sleep for at most `seconds`; WaitedTooLong if `limits.max_wait` has expired."""
        self.clock.sleep(self.limit_pause(seconds))

    def limit_pause(self, seconds: float) -> float:
        """`seconds`, limited to the time that is left; WaitedTooLong if none is left."""
        if self.until_s is None:
            return seconds
        left_s = self.until_s - self.clock.monotonic_s()
        if left_s <= 0:
            raise self._waited_too_long()
        return min(seconds, left_s)

    def _waited_too_long(self) -> WaitedTooLong:
        run_id = self.run.id
        job_id = self.ledger.get_run(run_id).job_id
        job = f"; its job {job_id} may still be running at the provider" if job_id else ""
        return WaitedTooLong(
            f"{run_id} has not ended within limits.max_wait ({self.spec.limits.max_wait}){job}",
            hint=f"{format_follow_command(run_id)} continues.",
        )

    def read_results(self) -> StageResults:
        """The results of the run's stages so far."""
        return StageResults.read(self.ledger.list_stages(self.run.id))

    def get_prepared(self) -> PreparedData:
        """The result of the prepare stage; LedgerError if it is missing."""
        prepared = self.read_results().prepare
        if prepared is None:
            raise LedgerError(f"the ledger is damaged: {self.run.id} has no prepared data")
        return prepared


@dataclass(frozen=True, slots=True)
class StageResult:
    """The recorded result of a successful stage, or the reason why it was skipped."""

    detail: Mapping[str, Json] = field(default_factory=dict)
    skipped: str | None = None
