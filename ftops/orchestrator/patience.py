"""Waiting for a provider: with an end, and without dying of its bad moments."""

from ftops.errors import (
    BadAnswer,
    NotFound,
    ProviderError,
    RateLimited,
    Unavailable,
    Unreachable,
    WaitedTooLong,
)
from ftops.orchestrator.desk import Desk
from ftops.orchestrator.hints import say_follow
from ftops.records import RunId

LONGEST_PAUSE_S = 60.0
REMIND_EVERY_S = 900.0
_FOREVER_S = float("inf")
# For how long in a row errors of a kind are waited out. A job that was just made may be unknown
# for a moment; a proxy or a captive portal may answer in the provider's place for a while.
_PATIENCE_S: dict[type[ProviderError], float] = {
    Unreachable: _FOREVER_S,
    Unavailable: _FOREVER_S,
    RateLimited: _FOREVER_S,
    BadAnswer: 1800.0,
    NotFound: 60.0,
}


class Patience:
    """Waits between questions; bears errors of the provider, and tells the user about them.

    All pauses together last at most `max_wait_s` (None: without end), then WaitedTooLong.
    """

    def __init__(self, desk: Desk, run_id: RunId, max_wait_s: float | None = None) -> None:
        self._desk = desk
        self._run_id = run_id
        self._max_wait_s = max_wait_s
        self._began_s = desk.clock.monotonic_s()
        self._failing_since_s: float | None = None
        self._told_s = 0.0
        self._failures = 0

    def pause(self, seconds: float) -> None:
        """Let up to `seconds` pass; WaitedTooLong when the time is up."""
        self._desk.clock.sleep(self.grant(seconds))

    def grant(self, seconds: float) -> float:
        """How much of so long a pause there is time for; WaitedTooLong when the time is up."""
        if self._max_wait_s is not None:
            left_s = self._began_s + self._max_wait_s - self._desk.clock.monotonic_s()
            if left_s <= 0:
                raise WaitedTooLong(
                    f"the job of {self._run_id} has not ended within limits.max_wait"
                    f" ({self._max_wait_s:,.0f} s); it goes on at the provider",
                    hint=f"{say_follow(self._run_id)} goes on watching.",
                )
            seconds = min(seconds, left_s)
        return seconds

    def answered(self) -> None:
        """The provider has answered well."""
        if self._failing_since_s is not None:
            away_s = self._desk.clock.monotonic_s() - self._failing_since_s
            self._desk.observer.noted(f"the provider answers again, after {away_s:,.0f} s")
        self._failing_since_s = None
        self._failures = 0

    def bear(self, error: ProviderError, pause_s: float) -> None:
        """Pause after an error, longer each time; raise it when it lasts for too long."""
        now_s = self._desk.clock.monotonic_s()
        limit_s = max(
            (limit for kind, limit in _PATIENCE_S.items() if isinstance(error, kind)), default=0.0
        )
        if self._failing_since_s is None:
            self._failing_since_s = now_s
            self._told_s = -REMIND_EVERY_S + now_s
        if error.final or now_s - self._failing_since_s >= limit_s:
            raise error
        if now_s - self._told_s >= REMIND_EVERY_S:
            self._told_s = now_s
            self._desk.observer.noted(f"{error.message}; the job goes on, asking again")
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self.pause(max(pause_s, error.retry_after_s or 0.0))
