"""`ftops cancel` and `ftops pause` of runs that have ended."""

from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.records import RunId, RunStatus
from tests.cli.running import ftops
from tests.ledger.rows import make_run


@pytest.fixture
def run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunId:
    """A run of this home that is running."""
    monkeypatch.setenv("FTOPS_HOME", str(tmp_path))
    ledger = Ledger(tmp_path / "ledger.db", SystemClock())
    run = ledger.move_run(ledger.add_run(make_run(), if_absent=False), RunStatus.RUNNING)
    ledger.close()
    return run.id


def end(home: Path, run_id: RunId, status: RunStatus) -> None:
    ledger = Ledger(home / "ledger.db", SystemClock())
    ledger.move_run(ledger.get_run(run_id), status)
    ledger.close()


@pytest.mark.parametrize("command", ["cancel", "pause", "resume"])
def test_a_run_that_has_succeeded_is_refused_by_each_command_alike(
    tmp_path: Path, run_id: RunId, command: str
) -> None:
    end(tmp_path, run_id, RunStatus.SUCCEEDED)
    answer = ftops(command, run_id)
    assert answer.code == 1
    wanted = {"cancel": "cancelled", "pause": "paused", "resume": "resumed"}[command]
    assert f"{run_id} cannot be {wanted}: it has succeeded" in answer.err
    assert f"ftops show {run_id}" in answer.err


def test_a_run_that_was_cancelled_stays_so(tmp_path: Path, run_id: RunId) -> None:
    end(tmp_path, run_id, RunStatus.CANCELLED)
    answer = ftops("cancel", run_id)
    assert (answer.code, answer.out) == (0, f"{run_id} was cancelled.\n")
