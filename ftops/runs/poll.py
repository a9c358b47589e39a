"""Schedules the polls of a provider, and retries after transient errors."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from ftops.clock import Clock
from ftops.errors import (
    AuthFailed,
    NotFound,
    PermissionRefused,
    ProviderError,
    RateLimited,
    Unavailable,
    Unreachable,
)
from ftops.runs.context import StageContext

Limits: TypeAlias = Mapping[type[ProviderError], float]  # seconds, by the most specific class

LONGEST_PAUSE_S = 60.0  # even if the server requests a longer one
_FOREVER_S = float("inf")
# How long consecutive errors of a kind are retried while a job is polled. A proxy or a captive
# portal may respond instead of the provider for a while, and a new job may not be found yet.
JOB_LIMITS_S: Limits = {
    Unreachable: _FOREVER_S,
    Unavailable: _FOREVER_S,
    RateLimited: _FOREVER_S,
    AuthFailed: 300.0,
    PermissionRefused: 300.0,
    NotFound: 600.0,
    ProviderError: 1800.0,  # every other 4xx, and malformed responses
}
# The same for the events of a job that has ended, which are optional.
EVENT_LIMITS_S: Limits = {
    Unreachable: 1800.0,
    Unavailable: 1800.0,
    RateLimited: 1800.0,
    ProviderError: 30.0,
}


class PollBackoff:
    """Retries after errors; one note reports the first error of a kind, another the recovery.

    `advice` is appended to the first note.
    """

    def __init__(self, stage: StageContext, limits: Limits, advice: str) -> None:
        self._stage = stage
        self._limits = limits
        self._advice = advice
        self._began_s: float | None = None  # the first error since the last success
        self._kind_began_s = 0.0  # the first of those errors that have the same limit
        self._limit_s = _FOREVER_S
        self._noted: set[type[ProviderError]] = set()
        self._pauses = 0

    def record_success(self) -> bool:
        """Record a successful poll; True if errors preceded it."""
        if self._began_s is None:
            return False
        stage = self._stage
        away_s = stage.clock.monotonic_s() - self._began_s
        stage.observer.on_note(f"the provider answers again, after {away_s:,.0f} s")
        self._began_s = None
        self._noted.clear()
        self._pauses = 0
        return True

    def is_over(self, error: ProviderError) -> bool:
        """Record an error; True if errors of its kind have lasted for too long."""
        stage = self._stage
        now_s = stage.clock.monotonic_s()
        limit_s = self._get_limit_s(error)
        if self._began_s is None:
            self._began_s = self._kind_began_s = now_s
        elif limit_s != self._limit_s:
            self._kind_began_s = now_s
        self._limit_s = limit_s
        if type(error) not in self._noted:
            self._noted.add(type(error))
            stage.observer.on_note(f"{error.message}; {self._advice}")
        return now_s - self._kind_began_s >= limit_s

    def pause(self, error: ProviderError, pause_s: float) -> None:
        """Sleep after an error, longer each time, up to `LONGEST_PAUSE_S`.

        WaitedTooLong if `limits.max_wait` has expired.
        """
        grown_s = pause_s * 2**self._pauses
        self._pauses = min(self._pauses + 1, 10)
        self._stage.sleep(min(LONGEST_PAUSE_S, max(grown_s, error.retry_after_s or 0.0)))

    def _get_limit_s(self, error: ProviderError) -> float:
        limit_s = next(self._limits[kind] for kind in type(error).__mro__ if kind in self._limits)
        # Errors that may be as transient as a 5xx, although the server marks them as final.
        if error.final or error.status == 409:
            return min(limit_s, self._limits[ProviderError])
        return limit_s


def schedule_polls(
    clock: Clock,
    pauses_s: Iterable[float],
    *,
    timeout_s: float = _FOREVER_S,
    sleep: Callable[[float], None] | None = None,
) -> Iterator[int]:
    """Yield the number of each poll, from 0, and sleep between two polls.

    The last poll follows the last pause, or is the first one that starts after `timeout_s`.
    """
    until_s = clock.monotonic_s() + timeout_s
    for number, pause_s in enumerate(itertools.chain(pauses_s, [None])):
        left_s = until_s - clock.monotonic_s()
        yield number
        if pause_s is None or left_s <= 0:
            return
        (sleep or clock.sleep)(min(pause_s, left_s))
