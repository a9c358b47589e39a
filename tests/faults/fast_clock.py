"""Hours that pass in moments, in a process of its own: whoever sleeps there waits for a blink.

The time that was skipped stands in a file, so that the proxy in the test's process knows it, too.
What is replaced is Python's `time`, in that process alone: nothing of ftops is.
"""

import mmap
import struct
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

BLINK_S = 0.04  # so that the engine comes to work while somebody waits for it
_real_monotonic = time.monotonic


class FastClock:
    """The time of all processes that share the file; a `Clock`."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(struct.pack("d", 0.0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)

    @property
    def skipped_s(self) -> float:
        """How much time nobody has really waited."""
        value: float = struct.unpack("d", self._memory[:8])[0]
        return value

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.skipped_s)

    def monotonic_s(self) -> float:
        return _real_monotonic() + self.skipped_s

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(min(seconds, BLINK_S))
        self._memory[:8] = struct.pack("d", self.skipped_s + max(0.0, seconds - BLINK_S))


def hurry(path: Path) -> None:
    """Let this process live by that clock from now on."""
    clock = FastClock(path)
    setattr(time, "sleep", clock.sleep)  # noqa: B010
    setattr(time, "monotonic", clock.monotonic_s)  # noqa: B010
