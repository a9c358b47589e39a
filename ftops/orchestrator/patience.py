"""Bears the bad moments of a provider that is asked again and again."""

from ftops.errors import (
    BadAnswer,
    NotFound,
    ProviderError,
    RateLimited,
    Unavailable,
    Unreachable,
)
from ftops.orchestrator.work import Work

LONGEST_PAUSE_S = 60.0
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
    """Waits out errors; one line says that they began, one that they are over."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._failing_since_s: float | None = None
        self._failures = 0

    def answered(self) -> bool:
        """The provider has answered well; whether it had been away."""
        if self._failing_since_s is None:
            return False
        desk = self._work.desk
        away_s = desk.clock.monotonic_s() - self._failing_since_s
        desk.observer.noted(f"the provider answers again, after {away_s:,.0f} s")
        self._failing_since_s = None
        self._failures = 0
        return True

    def bear(self, error: ProviderError, pause_s: float) -> None:
        """Pause after an error, longer each time; raise it when it lasts for too long.

        WaitedTooLong when `limits.max_wait` is over.
        """
        desk = self._work.desk
        now_s = desk.clock.monotonic_s()
        limit_s = max(
            (limit for kind, limit in _PATIENCE_S.items() if isinstance(error, kind)), default=0.0
        )
        since_s = now_s if self._failing_since_s is None else self._failing_since_s
        if error.final or now_s - since_s >= limit_s:
            raise error
        if self._failing_since_s is None:
            desk.observer.noted(f"{error.message}; the job goes on, asking again")
        self._failing_since_s = since_s
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._work.sleep(max(pause_s, error.retry_after_s or 0.0))
