"""A command whose job file asks for notifications, in its own process with an optional crash point.

    FOLDER POINT COUNT URL STATUS

The process dies when it reaches POINT for the COUNTth time; "-" is no point. STATUS is the last
status of the job.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from ftops import crashpoints
from ftops.errors import JobFailed, RunError
from ftops.http.request_log import RequestLog
from ftops.ledger.ledger import Ledger

# Imported here, once for all commands; `ftops` imports it only for a webhook.
from ftops.notifications import webhook
from ftops.notifications.notifier import DefaultNotifier
from ftops.runs.context import RunContext
from ftops.runs.open_run import drive, open_run
from tests.fakes import FakeClock
from tests.notifications.receiver import SECRET
from tests.runs.bench import Recorder, write_job
from tests.runs.fake_provider import FakeProvider

_LOADED = webhook
COMMAND = "cat >> notifications; echo >> notifications"


def main(arguments: Sequence[str]) -> None:
    folder, point, count, url, status = arguments
    home, clock = Path(folder) / "home", FakeClock()
    provider = FakeProvider(Path(folder) / "provider", clock)
    provider.statuses = ("queued", "running", status)
    environ = {"PATH": os.environ["PATH"], "HOOK": SECRET}
    request_log = RequestLog(home / "requests.jsonl", clock, lambda _text: None)
    ledger = Ledger(home / "ledger.db", clock)
    notifier = DefaultNotifier(environ, clock, request_log)
    context = RunContext(ledger, provider, clock, home, Recorder(), notifier)
    notify = {
        "command": ["sh", "-c", COMMAND],
        "webhook_url": url,
        "webhook_secret_env": "HOOK",
    }
    if point != "-":
        crashpoints.arm(point, int(count))
    job = write_job(Path(folder), notify=notify)
    with contextlib.suppress(JobFailed, RunError):
        drive(open_run(job, context), context)
