"""Retries requests; nothing else in ftops does.

Transient errors are retried: `RateLimited`, `Unavailable` and `Unreachable`, unless they are final.
Pauses are random, between 0 and a bound that grows exponentially (full jitter); a pause that the
server requests is used unchanged. No attempt starts after the deadline.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception

from ftops.clock import Clock
from ftops.errors import ProviderError, RateLimited, Unavailable, Unreachable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a request is retried; all times in seconds."""

    attempts: int = 10
    deadline_s: float = 180.0  # counted from the first attempt
    first_pause_s: float = 0.5  # bound of the first pause; then it doubles
    longest_pause_s: float = 20.0  # a pause that the server requests may be longer


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed in a moment."""
    return isinstance(error, RateLimited | Unavailable | Unreachable) and not error.final


def call_with_retries(
    call: Callable[[], T],
    *,
    policy: RetryPolicy,
    clock: Clock,
    draw: Callable[[], float] = random.random,
) -> T:
    """Retry `call`; returns its result, or raises its last error with the number of attempts.

    `draw` returns a number from 0 to 1. Retries end at once if a provider requests a longer pause
    than the deadline allows.
    """
    began_s = clock.monotonic_s()

    def pause_s(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, ProviderError) and error.retry_after_s is not None:
            return error.retry_after_s
        # The exponent is bounded so that the power stays finite.
        grown_s = policy.first_pause_s * 2.0 ** min(state.attempt_number - 1, 64)
        return draw() * min(grown_s, policy.longest_pause_s)

    def is_over(state: RetryCallState) -> bool:
        elapsed_s = clock.monotonic_s() - began_s
        return (
            state.attempt_number >= policy.attempts
            or elapsed_s + state.upcoming_sleep > policy.deadline_s
        )

    def give_up(state: RetryCallState) -> T:
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, ProviderError):
            raise AssertionError("only errors of providers are repeated")
        raise _last_error(error, state.attempt_number, clock.monotonic_s() - began_s) from error

    retrying = Retrying(
        sleep=clock.sleep,
        wait=pause_s,
        stop=is_over,
        retry=retry_if_exception(is_transient),
        retry_error_callback=give_up,
    )
    return retrying(call)


def _last_error(error: ProviderError, attempts: int, elapsed_s: float) -> ProviderError:
    """The error with the number of attempts and the time to wait."""
    message, hint = error.message, error.hint
    if attempts > 1:
        message += f" (tried {attempts} times in {elapsed_s:.0f} s)"
    if error.retry_after_s is not None:
        message += f"; the provider asks to wait {_render_duration(error.retry_after_s)}"
        hint = (
            f"Run the same command again in {_render_duration(error.retry_after_s)}: "
            "it continues where it stopped."
        )
    return error.reworded(message, hint)


def _render_duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
