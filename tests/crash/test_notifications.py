"""Commands that are killed around the end of a run: each recipient receives the notification.

A notification may be sent again with the same id when the command is killed before the ledger has
it as sent. A recorded notification is never sent again.
"""

import json
import signal
from pathlib import Path

import pytest

from ftops.ledger.ledger import Ledger
from tests.crash.processes import ProcessHarness
from tests.fakes import FakeClock
from tests.notifications.receiver import Receiver, receiving

POINTS = [
    ("ledger.move_run.before_commit", 2),  # the first is the start of the run
    ("ledger.move_run.after_commit", 2),
    *((f"notify.{moment}_call", count) for moment in ("before", "after") for count in (1, 2)),
    ("ledger.record_done.before_commit", 1),
    ("ledger.record_done.after_commit", 1),
    ("ledger.record_done.before_commit", 2),
    ("ledger.record_done.after_commit", 2),
]


class NotifyingRuns:
    """Runs a command repeatedly and reads the notifications that it sent."""

    def __init__(
        self, harness: ProcessHarness, folder: Path, receiver: Receiver, status: str
    ) -> None:
        self._harness = harness
        self._folder = folder
        self._receiver = receiver
        self._status = status

    def run_command(self, point: str = "-", count: int = 1) -> int:
        output = self._folder / "output"
        arguments = [str(self._folder), point, str(count), self._receiver.url, self._status]
        code = self._harness.start("tests.crash.notify_worker", arguments, output=output).wait()
        assert code in (0, -signal.SIGKILL), output.read_text()
        return code

    @property
    def command_notifications(self) -> list[dict[str, object]]:
        path = self._folder / "notifications"
        return [json.loads(line) for line in path.read_text().splitlines() if line]

    def list_calls(self) -> list[tuple[str, str | None]]:
        ledger = Ledger(self._folder / "home" / "ledger.db", FakeClock())
        (run,) = ledger.list_runs()
        calls = [call for call in ledger.list_calls(run.id) if call.name == "notify"]
        ledger.close()
        return [(str(call.state), call.remote_id) for call in calls]


@pytest.mark.parametrize("status", ["succeeded", "failed"])
@pytest.mark.parametrize(("point", "count"), POINTS)
def test_a_run_that_is_killed_at_its_end_sends_one_notification_to_each_recipient(
    harness: ProcessHarness, tmp_path: Path, point: str, count: int, status: str
) -> None:
    with receiving() as receiver:
        runs = NotifyingRuns(harness, tmp_path, receiver, status)
        assert runs.run_command(point, count) == -signal.SIGKILL
        assert runs.run_command() == 0
        counts = (len(runs.command_notifications), len(receiver.deliveries))
        assert runs.run_command() == 0
        assert (len(runs.command_notifications), len(receiver.deliveries)) == counts
    assert set(counts) <= {1, 2}
    assert sum(counts) <= 3  # only the interrupted one may be sent twice
    assert {request.document["type"] for request in receiver.deliveries} == {f"run.{status}"}
    ids = {request.headers["webhook-id"] for request in receiver.deliveries}
    assert len(ids) == 1
    assert runs.list_calls() == [("done", next(iter(ids)))] * 2
    assert all(
        notification == runs.command_notifications[0] for notification in runs.command_notifications
    )


def test_a_run_that_is_killed_at_each_point_in_a_row_sends_one_notification(
    harness: ProcessHarness, tmp_path: Path
) -> None:
    with receiving() as receiver:
        runs = NotifyingRuns(harness, tmp_path, receiver, "succeeded")
        kills = sum(runs.run_command(point, 1) == -signal.SIGKILL for point, _ in POINTS[2:])
        assert runs.run_command() == 0
    assert kills >= 6
    assert len({request.headers["webhook-id"] for request in receiver.deliveries}) == 1
    assert [state for state, _ in runs.list_calls()] == ["done", "done"]
