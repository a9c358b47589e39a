"""Retries: which errors are retried, the pauses, and the deadline."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.errors import (
    AuthFailed,
    EngineError,
    FtopsError,
    InvalidResponse,
    NotFound,
    PermissionRefused,
    ProviderError,
    RateLimited,
    Rejected,
    Unavailable,
    Unreachable,
)
from ftops.http.retry import RetryPolicy, call_with_retries
from tests.fakes import FakeClock

POLICY = RetryPolicy(attempts=5, deadline_s=100.0, first_pause_s=1.0, longest_pause_s=4.0)


class Flaky:
    """Raises its failures in order, then returns 42."""

    def __init__(self, *failures: FtopsError) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return 42


def attempt(
    call: Callable[[], int],
    clock: FakeClock,
    *,
    policy: RetryPolicy = POLICY,
    draw: Callable[[], float] = lambda: 1.0,
) -> int:
    return call_with_retries(call, policy=policy, clock=clock, draw=draw)


@pytest.mark.parametrize("kind", [RateLimited, Unavailable, Unreachable])
def test_temporary_errors_are_retried(kind: type[ProviderError]) -> None:
    flaky = Flaky(kind("once"), kind("twice"))
    assert attempt(flaky, FakeClock()) == 42
    assert flaky.calls == 3


@pytest.mark.parametrize(
    "kind", [AuthFailed, PermissionRefused, NotFound, Rejected, InvalidResponse, EngineError]
)
def test_permanent_errors_are_raised_at_once_unchanged(kind: type[FtopsError]) -> None:
    failure = kind("no")
    flaky = Flaky(failure)
    with pytest.raises(kind) as caught:
        attempt(flaky, FakeClock())
    assert caught.value is failure
    assert flaky.calls == 1


def test_a_final_error_is_not_retried() -> None:
    flaky = Flaky(RateLimited("no credit", final=True))
    with pytest.raises(RateLimited):
        attempt(flaky, FakeClock())
    assert flaky.calls == 1


def test_pauses_double_up_to_the_longest() -> None:
    clock = FakeClock()
    with pytest.raises(Unavailable):
        attempt(Flaky(*[Unavailable("down")] * 9), clock)
    assert clock.slept_s == [1.0, 2.0, 4.0, 4.0]


def test_pauses_are_sampled_between_zero_and_the_full_pause() -> None:
    clock = FakeClock()
    draws = iter([0.0, 0.5, 0.25])
    attempt(Flaky(*[Unavailable("down")] * 3), clock, draw=lambda: next(draws))
    assert clock.slept_s == [0.0, 1.0, 1.0]


def test_a_retry_after_of_the_provider_is_used_exactly() -> None:
    clock = FakeClock()
    attempt(Flaky(RateLimited("slow down", retry_after_s=31.5)), clock, draw=lambda: 0.0)
    assert clock.slept_s == [31.5]


def test_a_retry_after_beyond_the_deadline_is_an_error_with_the_time_to_wait() -> None:
    clock = FakeClock()
    flaky = Flaky(RateLimited("slow down", retry_after_s=1200, status=429, request_id="req-1"))
    with pytest.raises(RateLimited) as caught:
        attempt(flaky, clock)
    assert clock.slept_s == []
    assert flaky.calls == 1
    assert caught.value.message == "slow down; the provider asks to wait 20 min"
    assert "in 20 min" in caught.value.hint
    assert (caught.value.status, caught.value.request_id) == (429, "req-1")


def test_no_attempt_starts_after_the_deadline() -> None:
    clock = FakeClock()
    policy = RetryPolicy(attempts=1000, deadline_s=10.0, first_pause_s=1.0, longest_pause_s=4.0)
    started_s: list[float] = []

    def fail() -> int:
        started_s.append(clock.monotonic_s())
        raise Unreachable("gone")

    with pytest.raises(Unreachable, match=r"gone \(tried 4 times in 7 s\)"):
        attempt(fail, clock, policy=policy)
    assert started_s == [0.0, 1.0, 3.0, 7.0]


def test_time_spent_in_the_call_counts_against_the_deadline() -> None:
    clock = FakeClock()

    def time_out() -> int:
        clock.advance(60)
        raise Unreachable("timed out")

    with pytest.raises(Unreachable, match="tried 2 times in 121 s"):
        attempt(time_out, clock)


@given(
    st.lists(st.floats(min_value=0, max_value=1), min_size=1, max_size=12),
    st.integers(min_value=1, max_value=12),
)
def test_no_pause_is_longer_than_its_limit(draws: list[float], attempts: int) -> None:
    clock = FakeClock()
    numbers = iter(draws * 12)
    policy = RetryPolicy(attempts=attempts, deadline_s=1e9, first_pause_s=1.0, longest_pause_s=4.0)
    with pytest.raises(Unavailable):
        attempt(
            Flaky(*[Unavailable("down")] * attempts),
            clock,
            policy=policy,
            draw=lambda: next(numbers),
        )
    assert len(clock.slept_s) == attempts - 1
    for index, pause_s in enumerate(clock.slept_s):
        assert 0 <= pause_s <= min(2.0**index, 4.0)
