"""Commands that die around the end of a run: all who are to know are told, and told it as one.

A program or a receiver may be told again when the command died before it could write down that it
was told; then the notice has the same id. What is written down is never told again.
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
    ("ledger.move_run.before_commit", 2),  # the first is the beginning of the run
    ("ledger.move_run.after_commit", 2),
    *((f"notify.{moment}_call", count) for moment in ("before", "after") for count in (1, 2)),
    ("ledger.record_done.before_commit", 1),
    ("ledger.record_done.after_commit", 1),
    ("ledger.record_done.before_commit", 2),
    ("ledger.record_done.after_commit", 2),
]


class NotifyingRuns:
    """Gives the command again and again, and looks who was told."""

    def __init__(
        self, harness: ProcessHarness, folder: Path, receiver: Receiver, ending: str
    ) -> None:
        self._harness = harness
        self._folder = folder
        self._receiver = receiver
        self._ending = ending

    def give(self, point: str = "-", count: int = 1) -> int:
        output = self._folder / "output"
        arguments = [str(self._folder), point, str(count), self._receiver.url, self._ending]
        code = self._harness.start("tests.crash.notify_worker", arguments, output=output).wait()
        assert code in (0, -signal.SIGKILL), output.read_text()
        return code

    @property
    def programs_told(self) -> list[dict[str, object]]:
        path = self._folder / "told"
        return [json.loads(line) for line in path.read_text().splitlines() if line]

    def calls(self) -> list[tuple[str, str | None]]:
        ledger = Ledger(self._folder / "home" / "ledger.db", FakeClock())
        (run,) = ledger.list_runs()
        calls = [call for call in ledger.list_calls(run.id) if call.name == "notify"]
        ledger.close()
        return [(str(call.state), call.remote_id) for call in calls]


@pytest.mark.parametrize("ending", ["succeeded", "failed"])
@pytest.mark.parametrize(("point", "count"), POINTS)
def test_killed_around_its_end_a_run_tells_everybody_of_one_thing(
    harness: ProcessHarness, tmp_path: Path, point: str, count: int, ending: str
) -> None:
    with receiving() as receiver:
        teller = NotifyingRuns(harness, tmp_path, receiver, ending)
        assert teller.give(point, count) == -signal.SIGKILL
        assert teller.give() == 0
        told = (len(teller.programs_told), len(receiver.taken))
        assert teller.give() == 0
        assert (len(teller.programs_told), len(receiver.taken)) == told
    assert set(told) <= {1, 2}
    assert sum(told) <= 3  # only the one that was under way may be told twice
    assert {one.document["type"] for one in receiver.taken} == {f"run.{ending}"}
    ids = {one.headers["webhook-id"] for one in receiver.taken}
    assert len(ids) == 1
    assert teller.calls() == [("done", next(iter(ids)))] * 2
    assert all(one == teller.programs_told[0] for one in teller.programs_told)


def test_killed_at_each_of_these_points_in_a_row_a_run_still_tells_of_one_thing(
    harness: ProcessHarness, tmp_path: Path
) -> None:
    with receiving() as receiver:
        teller = NotifyingRuns(harness, tmp_path, receiver, "succeeded")
        kills = sum(teller.give(point, 1) == -signal.SIGKILL for point, _ in POINTS[2:])
        assert teller.give() == 0
    assert kills >= 6
    assert len({one.headers["webhook-id"] for one in receiver.taken}) == 1
    assert [state for state, _ in teller.calls()] == ["done", "done"]
