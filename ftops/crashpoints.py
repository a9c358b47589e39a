"""Named points at which a test may kill the process, as a power cut would.

Code calls `reach("create.after_call")` where a death would hurt most; nothing happens unless a
test has armed that very name in this process.
"""

import os
import signal

_armed: str | None = None


def arm(name: str | None) -> None:
    """Die at the next `reach(name)` in this process; None disarms."""
    global _armed
    _armed = name


def reach(name: str) -> None:
    """Die here, unannounced, if a test armed `name`."""
    if name == _armed:
        os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
