"""One command of a user in its own process, with an optional crash point.

The clock is fake: it starts some seconds after a fixed time, and only `sleep` advances it.
"""

import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from ftops import crashpoints
from ftops.errors import JobCancelled
from ftops.ledger.ledger import Ledger
from ftops.runs.context import RunContext
from ftops.runs.open_run import cancel_run, drive, open_run
from tests.fakes import FakeClock
from tests.runs.bench import Recorder, write_job
from tests.runs.fake_provider import FakeProvider

LISTING_LAG_S = 20.0
IN_FOLLOW = "follow"


def main(arguments: Sequence[str]) -> None:
    """Do what the command does, and print each event that it shows.

    The arguments are a folder; run, detach or cancel; the crash point or "-"; and the start time
    in seconds.
    """
    folder, action, point = Path(arguments[0]), arguments[1], arguments[2]
    clock = FakeClock(FakeClock().now() + timedelta(seconds=float(arguments[3])))
    provider = FakeProvider(folder / "provider", clock)
    provider.listing_lag_s = LISTING_LAG_S
    ledger = Ledger(folder / "home" / "ledger.db", clock)
    recorder = Recorder()
    context = RunContext(ledger, provider, clock, folder / "home", recorder)
    if point == IN_FOLLOW:
        provider.before("get_job", lambda: kill_after_two_events(recorder))
    elif point != "-":
        crashpoints.arm(point)
    run = open_run(write_job(folder), context)
    try:
        if action == "cancel":
            cancel_run(run, context)
        else:
            drive(run, context, detach=action == "detach")
    except JobCancelled:
        pass
    sys.stdout.writelines(f"{message}\n" for message in recorder.events)


def kill_after_two_events(recorder: Recorder) -> None:
    """Print the shown events and kill this process, after two events."""
    if len(recorder.events) >= 2:
        sys.stdout.writelines(f"{message}\n" for message in recorder.events)
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
