"""Breaks off what takes too long, where the system lets it: in the main thread, on POSIX.

Elsewhere nothing is broken off, and Ctrl-C is what ends it.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class TookTooLong(BaseException):
    """The time is over. No `Exception`, so that a user's own `except` does not swallow it."""


@contextlib.contextmanager
def limit_time(seconds: float) -> Iterator[None]:
    """TookTooLong, raised in what runs in here, once so many seconds have passed."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return
    before = signal.signal(signal.SIGALRM, _break_off)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _break_off(_number: int, _frame: FrameType | None) -> None:
    raise TookTooLong
