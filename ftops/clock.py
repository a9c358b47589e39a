"""Time, handed in: whoever waits or dates something takes a `Clock`, so that no test sleeps."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the program may know about time."""

    def now(self) -> datetime:
        """The present moment, aware and in UTC."""

    def monotonic_s(self) -> float:
        """Seconds since some fixed point; for durations."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
