"""A command whose job file names somebody to tell, in a process of its own that may be killed.

    FOLDER POINT COUNT URL ENDING

POINT is the crash point at which to die, at its how manieth passing, or "-". ENDING is the status
with which the job ends.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from ftops import crashpoints
from ftops.errors import JobFailed, RunError
from ftops.http.request_log import RequestLog
from ftops.ledger.ledger import Ledger

# The HTTP client is loaded only when somebody is told: here, where it is loaded once for all.
from ftops.notifications import webhook
from ftops.notifications.notifier import DefaultNotifier
from ftops.runs.context import RunContext
from ftops.runs.open_run import drive, open_run
from tests.fakes import FakeClock
from tests.notifications.receiver import SECRET
from tests.runs.bench import Recorder, write_job
from tests.runs.fake_provider import FakeProvider

_LOADED = webhook
TELL = "cat >> told; echo >> told"


def main(arguments: Sequence[str]) -> None:
    folder, point, count, url, ending = arguments
    home, clock = Path(folder) / "home", FakeClock()
    provider = FakeProvider(Path(folder) / "provider", clock)
    provider.statuses = ("queued", "running", ending)
    environ = {"PATH": os.environ["PATH"], "HOOK": SECRET}
    request_log = RequestLog(home / "requests.jsonl", clock, lambda _text: None)
    ledger = Ledger(home / "ledger.db", clock)
    notifier = DefaultNotifier(environ, clock, request_log)
    context = RunContext(ledger, provider, clock, home, Recorder(), notifier)
    wish = {
        "command": ["sh", "-c", TELL],
        "webhook_url": url,
        "webhook_secret_env": "HOOK",
    }
    if point != "-":
        crashpoints.arm(point, int(count))
    job = write_job(Path(folder), notify=wish)
    with contextlib.suppress(JobFailed, RunError):
        drive(open_run(job, context), context)
