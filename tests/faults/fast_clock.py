"""A clock for a process whose sleeps are short: the rest of the time is skipped.

A file holds the skipped time, so that the proxy in the process of the test uses it, too. Only
`time.sleep` and `time.monotonic` of the process are replaced, nothing of ftops.
"""

import mmap
import struct
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

MAX_SLEEP_S = 0.04  # the engine works during this time
_real_monotonic = time.monotonic


class FastClock:
    """The `Clock` of all processes that share the file."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(struct.pack("d", 0.0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)

    @property
    def skipped_s(self) -> float:
        """The skipped time."""
        value: float = struct.unpack("d", self._memory[:8])[0]
        return value

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.skipped_s)

    def monotonic_s(self) -> float:
        return _real_monotonic() + self.skipped_s

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(min(seconds, MAX_SLEEP_S))
        self._memory[:8] = struct.pack("d", self.skipped_s + max(0.0, seconds - MAX_SLEEP_S))


def use_fast_clock(path: Path) -> None:
    """Replace `time.sleep` and `time.monotonic` of this process."""
    clock = FastClock(path)
    setattr(time, "sleep", clock.sleep)  # noqa: B010
    setattr(time, "monotonic", clock.monotonic_s)  # noqa: B010
