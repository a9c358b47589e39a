"""One command of a user, in a process of its own, which may die at a crash point.

Time is not real: it begins some seconds after a fixed moment, and passes only while somebody waits.
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
    """Do what the command would do, and put out each event that it shows.

    The arguments are a folder; run, detach or cancel; the crash point at which to die, or "-";
    and the time at which to begin, in seconds.
    """
    folder, action, point = Path(arguments[0]), arguments[1], arguments[2]
    clock = FakeClock(FakeClock().now() + timedelta(seconds=float(arguments[3])))
    provider = FakeProvider(folder / "provider", clock)
    provider.listing_lag_s = LISTING_LAG_S
    ledger = Ledger(folder / "home" / "ledger.db", clock)
    seen = Recorder()
    context = RunContext(ledger, provider, clock, folder / "home", seen)
    if point == IN_FOLLOW:
        provider.before("get_job", lambda: die_after_two(seen))
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
    sys.stdout.writelines(f"{message}\n" for message in seen.events)


def die_after_two(seen: Recorder) -> None:
    """Tell what was shown, and die."""
    if len(seen.events) >= 2:
        sys.stdout.writelines(f"{message}\n" for message in seen.events)
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
