"""A new engine in its own process and folder."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftops.clock import SystemClock
from ftops.records import EngineAddress

_START_S = 60.0


@contextmanager
def fresh_engine(folder: Path) -> Iterator[EngineAddress]:
    """Start an engine in `folder`, and stop it at the end."""
    log = folder.with_suffix(".log")
    with log.open("wb") as stream:
        child = subprocess.Popen(
            [sys.executable, "-m", "ftops.engine", "--folder", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        yield _wait_for(folder / "address.json", child, log)
    finally:
        child.terminate()
        child.wait()


def _wait_for(address: Path, child: "subprocess.Popen[bytes]", log: Path) -> EngineAddress:
    clock = SystemClock()
    deadline_s = time.monotonic() + _START_S
    while not address.exists():
        if child.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"the engine did not start: {log.read_text(encoding='utf-8')}")
        clock.sleep(0.05)
    return EngineAddress(**json.loads(address.read_text(encoding="utf-8")))
